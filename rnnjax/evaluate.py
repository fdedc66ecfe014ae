"""Evaluates a checkpoint of a run: prints the figures that training printed at that step.

python -m rnnjax.evaluate --workdir DIR [--step N]
"""

import logging
import sys
from pathlib import Path

from rnnjax import __version__
from rnnjax.system import command_line


def main() -> None:
    command_line.prepare()
    parser = command_line.Parser(prog="python -m rnnjax.evaluate", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--step", type=int, help="one of its checkpoints; without it, the newest")
    parser.add_argument("--version", action="version", version=f"rnnjax {__version__}")
    arguments = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.ERROR)
    from rnnjax.system import devices
    from rnnjax.system.distributed import print_on_primary
    from rnnjax.training.evaluation import evaluate_checkpoint

    try:
        devices.start()
        step, dataset, evaluation = evaluate_checkpoint(arguments.workdir, arguments.step)
        print_on_primary(
            f"step {step:6d}  test accuracy {evaluation.accuracy:.4f}  "
            f"loss {evaluation.loss:.4f}  ({dataset})"
        )
    except Exception as error:
        sys.exit(command_line.report_error(error, debug=arguments.debug))


if __name__ == "__main__":
    main()
