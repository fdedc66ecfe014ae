"""Makes a page about runs: curves, mistakes, what it needs to see, a look inside.

python -m rnnjax.report RUN [RUN ...] --out DIR [--step N] [--seed N]
"""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from rnnjax import __version__
from rnnjax.errors import ConfigError
from rnnjax.system import command_line
from rnnjax.system.messages import printable, say


def main() -> None:
    command_line.run(parse_arguments, lambda a: report(a.runs, a.out, a.step, a.seed))


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.report", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder for the page")
    parser.add_argument(
        "--step", type=int, help="the checkpoint of each run; without it, the newest"
    )
    parser.add_argument("--seed", type=int, help="one of each run's seeds; without it, all")
    command_line.add_common_arguments(parser, __version__)
    return parser.parse_args()


def report(
    folders: Sequence[Path], out: Path, step: int | None = None, seed: int | None = None
) -> None:
    """Makes a page about runs on one data set.

    Args:
      folders: their workdirs, to which nothing is written.
      out: the folder of the page.
      step: of the checkpoint of each run; None: the newest.
      seed: of each run; None: all that it has.

    Raises:
      ConfigError: if one of them is no run or is there twice, the data sets differ, `out` cannot be
        written or is something else's, or Matplotlib is missing.
    """
    from rnnjax.reporting.page.folder import PAGE, check_folder, write_folder
    from rnnjax.system.files import local_path
    from rnnjax.system.outputs import check_outside
    from rnnjax.system.waiting import waiting

    out = local_path("--out", out)
    check_outside("--out", out, folders)
    check_folder(out)  # before the seconds that all else needs
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("a report needs Matplotlib: pip install -e '.[report]'")
    with command_line.loading_libraries():
        from rnnjax.data import datasets
        from rnnjax.reporting.page import document
        from rnnjax.system import devices
        from rnnjax.training.gather import gather, read_runs

    with waiting("reading checkpoints"):
        devices.start()
        runs = read_runs(folders, step, seed)
    with waiting("loading data"):
        dataset = datasets.load(runs[0].config.data)
    figures = []
    for run, name in zip(runs, names([run.summaries for run in runs]), strict=True):
        with waiting(f"looking at {name}"):
            figures.append(gather(run, name, dataset))
    with waiting("drawing"):
        contents = document.build(figures, f"rnnjax {__version__}")
    write_folder(out, contents)
    lines = [f"{run.name}: step {run.step}, test accuracy {run.accuracy:.4f}" for run in figures]
    lines += [f"{out / PAGE}, and {len(contents) - 1} figures as PNG files beside it"]
    say("\n".join(lines))


def names(folders: Sequence[Path]) -> list[str]:
    """Returns the last parts of the runs' paths, as many as it needs to tell one from another."""
    parts = [folder.expanduser().resolve().parts for folder in folders]
    number = 1
    while len({of_run[-number:] for of_run in parts}) < len({*parts}):
        number += 1
    return [printable("/".join(of_run[-number:])) for of_run in parts]


if __name__ == "__main__":
    main()
