"""Evaluates a checkpoint of a run on all test images.

python -m rnnjax.evaluate --workdir DIR [--step N] [--json FILE] [--confusion FILE.png]

It prints the accuracy and the loss, as training did at that step, precision and recall of each
class, and the calibration error.
"""

import argparse
import json
from pathlib import Path

from rnnjax import __version__
from rnnjax.system import command_line
from rnnjax.system.messages import say
from rnnjax.system.outputs import check_outputs, write_output
from rnnjax.system.waiting import waiting


def main() -> None:
    command_line.run(parse_arguments, lambda a: evaluate(a.workdir, a.step, a.json, a.confusion))


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.evaluate", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--step", type=int, help="one of its checkpoints; without it, the newest")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--confusion", type=Path, help="PNG file for what was taken for what")
    parser.add_argument("--version", action="version", version=f"rnnjax {__version__}")
    return parser.parse_args()


def evaluate(
    workdir: Path, step: int | None, json_file: Path | None, confusion_file: Path | None
) -> None:
    """Prints the figures of a checkpoint of the run in a workdir.

    Args:
      workdir: of the run.
      step: of the checkpoint; None: the newest.
      json_file: where the figures go as well.
      confusion_file: where a picture of the confusion goes.
    """
    check_outputs({"--json": json_file, "--confusion": confusion_file}, workdir)
    with waiting("loading libraries"):
        from rnnjax.data import datasets
        from rnnjax.reporting.figures import confusion, png
        from rnnjax.system import devices
        from rnnjax.training import predictions
        from rnnjax.training.evaluation import evaluate_trained
        from rnnjax.training.trained import read_trained

    with waiting("reading the checkpoint"):
        devices.start()
        trained = read_trained(workdir, step)
    with waiting("loading data"):
        dataset = datasets.load(trained.config.data)
    with waiting("evaluating"):
        evaluation = evaluate_trained(trained, dataset.test)
        figures = predictions.summarize(evaluation.predictions, dataset.class_names)
    if json_file is not None:
        head = {"step": trained.step, "dataset": dataset.name}
        head |= {"accuracy": evaluation.accuracy, "loss": evaluation.loss}
        write_output(json_file, json.dumps(head | figures, indent=2).encode() + b"\n")
    if confusion_file is not None:
        picture = confusion(predictions.confusion(evaluation.predictions), dataset.class_names)
        write_output(confusion_file, png(picture))
    say(
        f"step {trained.step:6d}  test accuracy {evaluation.accuracy:.4f}  "
        f"loss {evaluation.loss:.4f}  ({dataset.name})\n{predictions.table(figures)}"
    )


if __name__ == "__main__":
    main()
