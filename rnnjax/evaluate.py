"""Evaluates a checkpoint of a run on all test images.

python -m rnnjax.evaluate --workdir DIR [--step N] [--seed N] [--json FILE]
[--confusion FILE.png]

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
    command_line.run(parse_arguments, evaluate)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.evaluate", description=__doc__)
    command_line.add_run_arguments(parser, __version__)
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--confusion", type=Path, help="PNG file for what was taken for what")
    return parser.parse_args()


def evaluate(arguments: argparse.Namespace) -> None:
    """Prints the figures of a checkpoint of a run, and writes the files that are asked for."""
    workdir, json_file, confusion_file = arguments.workdir, arguments.json, arguments.confusion
    check_outputs({"--json": json_file, "--confusion": confusion_file}, workdir)
    with command_line.loading_libraries():
        from rnnjax.data import datasets
        from rnnjax.reporting.figures import confusion, png
        from rnnjax.system import devices
        from rnnjax.training import predictions
        from rnnjax.training.evaluation import evaluate_trained
        from rnnjax.training.trained import read_trained

    with waiting("reading the checkpoint"):
        devices.start()
        trained = read_trained(workdir, arguments.step, arguments.seed)
    with waiting("loading data"):
        dataset = datasets.load(trained.config.data)
    with waiting("evaluating"):
        evaluation = evaluate_trained(trained, dataset.test)
        figures = predictions.summarize(evaluation.predictions, dataset.class_names)
    if json_file is not None:
        head = {"step": trained.step, "seed": trained.config.seed, "dataset": dataset.name}
        head |= {"accuracy": evaluation.accuracy, "loss": evaluation.loss}
        write_output(json_file, json.dumps(head | figures, indent=2).encode() + b"\n")
    if confusion_file is not None:
        picture = confusion(predictions.confusion(evaluation.predictions), dataset.class_names)
        write_output(confusion_file, png(picture))
    say(
        f"{trained.label}  test accuracy {evaluation.accuracy:.4f}  "
        f"loss {evaluation.loss:.4f}  ({dataset.name})\n{predictions.table(figures)}"
    )


if __name__ == "__main__":
    main()
