"""Evaluates a checkpoint of a run: prints the figures that training printed at that step.

python -m rnnjax.evaluate --workdir DIR [--step N]
"""

import argparse
import logging
from pathlib import Path

from rnnjax import __version__
from rnnjax.system import command_line


def main() -> None:
    command_line.prepare()
    with command_line.errors_as_lines(is_listing=True):
        arguments = parse_arguments()
    with command_line.errors_as_lines(debug=arguments.debug):
        command_line.begin_work(debug=arguments.debug)
        evaluate(arguments.workdir, arguments.step)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.evaluate", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--step", type=int, help="one of its checkpoints; without it, the newest")
    parser.add_argument("--version", action="version", version=f"rnnjax {__version__}")
    return parser.parse_args()


def evaluate(workdir: Path, step: int | None) -> None:
    """Prints the figures of a checkpoint of the run in a workdir; None: of the newest."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    from rnnjax.system import devices
    from rnnjax.system.distributed import print_on_primary
    from rnnjax.training.evaluation import evaluate_checkpoint

    devices.start()
    step, dataset, evaluation = evaluate_checkpoint(workdir, step)
    print_on_primary(
        f"step {step:6d}  test accuracy {evaluation.accuracy:.4f}  "
        f"loss {evaluation.loss:.4f}  ({dataset})"
    )


if __name__ == "__main__":
    main()
