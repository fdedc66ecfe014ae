"""Asks a trained model what it takes pictures for: files of one's own, or test images.

python -m rnnjax.predict --workdir DIR [--step N] [--seed N] [--index N] [--wrong N] [--rows]
[--out FILE.png] [--json FILE] [IMAGE ...]

A picture gets the size and the colours of the images that the model knows. Where these are grey,
it is inverted if its border is light, or if its border is transparent and what can be seen is dark:
such models know what is bright on black.
"""

import argparse
import json
import os
from pathlib import Path

from rnnjax import __version__
from rnnjax.errors import ConfigError
from rnnjax.system import command_line
from rnnjax.system.messages import say
from rnnjax.system.outputs import check_outputs, write_output
from rnnjax.system.waiting import waiting


def main() -> None:
    command_line.run(parse_arguments, predict)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(
        prog="python -m rnnjax.predict",
        usage="%(prog)s --workdir DIR [options] [IMAGE ...]",
        description=__doc__,
    )
    add = parser.add_argument
    add("images", type=Path, nargs="*", metavar="IMAGE", help="PNG, JPEG, GIF, BMP or WebP file")
    command_line.add_run_arguments(parser, __version__)
    counted = "a test image, in the order of TFDS, counted from 0; again for another"
    add("--index", type=int, action="append", default=[], metavar="N", help=counted)
    add("--wrong", type=int, metavar="N", help="the N worst mistakes among the test images")
    add("--rows", action="store_true", help="what the model believes after each row")
    add("--out", type=Path, help="PNG file for the images with what they are taken for")
    add("--json", type=Path, help="file for all probabilities")
    arguments = parser.parse_intermixed_args()
    if arguments.wrong is not None and arguments.wrong < 1:
        parser.error(f"--wrong={arguments.wrong} must be at least 1")
    if not arguments.images and not arguments.index and arguments.wrong is None:
        parser.error("nothing to look at: name picture files, or --index N, or --wrong N")
    return arguments


def predict(arguments: argparse.Namespace) -> None:
    """Prints what a model takes each picture for, and writes the files that are asked for."""
    outputs = {"--out": arguments.out, "--json": arguments.json}
    check_outputs(outputs, arguments.workdir)
    for name, file in outputs.items():
        if file is not None and os.path.realpath(file) in map(os.path.realpath, arguments.images):
            raise ConfigError(f"{name}={file} would replace that picture; name another file")
    with waiting("reading pictures"):
        from rnnjax.data.pictures import read_pictures

        pictures = read_pictures(arguments.images)
    with command_line.loading_libraries():
        from rnnjax.data import datasets
        from rnnjax.data.pictures import as_in_the_data
        from rnnjax.reporting.figures import png
        from rnnjax.system import devices
        from rnnjax.training import answers
        from rnnjax.training.trained import read_trained

    with waiting("reading the checkpoint"):
        devices.start()
        trained = read_trained(arguments.workdir, arguments.step, arguments.seed)
    task, sequence = trained.task, trained.config.data.sequence
    images = [as_in_the_data(picture, task.dataset.image_shape) for picture in pictures]
    examples = answers.of_files(arguments.images, images)
    if arguments.index or arguments.wrong:
        with waiting("loading data"):
            dataset = datasets.load(trained.config.data)
        test = dataset.test
        for row in arguments.index:
            if not 0 <= row < len(test.labels):
                raise ConfigError(f"--index={row} must be from 0 to {len(test.labels) - 1}")
        examples += answers.of_test_split(dataset, arguments.index)
        if arguments.wrong:
            with waiting("looking for mistakes"):
                rows = answers.worst_mistakes(trained, test, arguments.wrong)
            examples += answers.of_test_split(dataset, rows)
    names = task.dataset.class_names
    lines = [f"{trained.label}  ({trained.config.data.name})"]
    if not examples:
        say("\n".join((*lines, "no test image is mistaken")))
        return
    with waiting("asking the model"):
        answered = answers.ask(trained, examples, with_beliefs=arguments.rows)
    if arguments.out is not None:
        write_output(arguments.out, png(answers.picture(answered, names)))
    if arguments.json is not None:
        content = json.dumps(answers.as_json(answered, names), indent=2)
        write_output(arguments.json, content.encode() + b"\n")
    lines += [answers.text(answer, names, sequence) for answer in answered]
    say("\n".join(lines))


if __name__ == "__main__":
    main()
