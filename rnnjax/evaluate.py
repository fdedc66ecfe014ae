"""Evaluates a checkpoint of a run: prints the figures that training printed at that step.

python -m rnnjax.evaluate --workdir DIR [--step N]
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from rnnjax.errors import RunError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rnnjax.evaluate", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a run")
    parser.add_argument("--step", type=int, help="one of its checkpoints; without it, the newest")
    arguments = parser.parse_args()
    # As in main.py: only what is asked for is printed.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.getLogger("absl").setLevel(logging.ERROR)
    from rnnjax.evaluation import evaluate_checkpoint

    try:
        step, name, found = evaluate_checkpoint(arguments.workdir, arguments.step)
    except RunError as error:
        print(f"rnnjax: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(
        f"step {step:6d}  test accuracy {found.accuracy:.4f}  loss {found.cross_entropy:.4f}  "
        f"({name})"
    )


if __name__ == "__main__":
    main()
