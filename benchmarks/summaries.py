"""What a run's time goes up by for the pictures, distributions and looks inside that it shows.

    python -m benchmarks.summaries [--config experiments/lstm.py] [--steps 400] [--repeats 3]

A run that shows all, at its config's cadence, takes turns with one that shows none of it, each in a
process of its own; timed from the first finished step to the end, so the programs that the
pictures need are compiled within. It also prints the share of its time that the run spent on them.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SHOWN = ("show_graph", "show_parameters", "show_inside", "show_beliefs", "show_classes")


class Seconds(NamedTuple):
    """Of a run after its first step."""

    all: float
    showing: float  # of them, those spent on what is shown


def run_seconds(config_file: Path, num_steps: int, shows: bool) -> Seconds:
    """Returns how long a run takes, in this process."""
    from benchmarks.checkpoint import load
    from rnnjax.system.process import tune
    from rnnjax.training.insight import Insight
    from rnnjax.training.run import Run
    from rnnjax.training.train import train

    tune()  # as main does
    showing, started = [0.0], []
    for name in SHOWN:
        setattr(Insight, name, counted(getattr(Insight, name), showing) if shows else ignored)
    train_steps = Run.train_steps

    def timed(*args: object, **options: object) -> object:
        result = train_steps(*args, **options)  # pyright: ignore[reportArgumentType]
        started.append(time.monotonic())
        return result

    setattr(Run, "train_steps", timed)  # noqa: B010 -- of a class whose type forbids it
    config = load(config_file)
    config.num_steps = num_steps
    with tempfile.TemporaryDirectory() as workdir:
        train(config, workdir)
        return Seconds(time.monotonic() - started[0], showing[0])


def ignored(*_: object) -> None:
    """Shows nothing."""


def counted(show: Callable[..., None], seconds: list[float]) -> Callable[..., None]:
    """Returns what shows the same, and adds the seconds that it takes."""

    def timed(*args: object) -> None:
        start = time.monotonic()
        show(*args)
        seconds[0] += time.monotonic() - start

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("experiments/lstm.py"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.repeats):
        taken = []
        for shows in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = (options.config, options.steps, shows)
                taken.append(pool.apply(run_seconds, arguments))
        without, shown = taken
        ratios.append(shown.all / without.all)
        print(
            f"without {without.all:.1f} s, with {shown.all:.1f} s: {ratios[-1]:.3f}; "
            f"showing is {shown.showing / shown.all:.1%}",
            flush=True,
        )
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")


if __name__ == "__main__":
    main()
