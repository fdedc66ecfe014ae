"""Says which commands there are: `python -m rnnjax`, or `rnnjax` alone."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from rnnjax import __version__
from rnnjax.errors import ConfigError
from rnnjax.system import command_line
from rnnjax.system.messages import say, warn

COMMANDS = {
    "rnnjax.main": "trains a classifier, or resumes its run; --help lists every setting",
    "rnnjax.compare": "trains variants over seeds, and tells which are better",
    "rnnjax.evaluate": "evaluates a checkpoint of a run",
    "rnnjax.predict": "says what a checkpoint takes pictures for",
    "rnnjax.export": "writes the model of a run as StableHLO, ONNX, safetensors or a web page",
    "rnnjax.report": "makes a page about runs, with all figures",
    "rnnjax.cells": "lists every cell with its parameters, states and source",
}


def overview() -> str:
    """Returns one line a command."""
    width = max(map(len, COMMANDS))
    lines = [f"  python -m {module:{width}}  {what}" for module, what in COMMANDS.items()]
    return "\n".join([f"rnnjax {__version__}: recurrent networks in JAX", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the overview or the version; returns the exit code.

    Args:
      arguments: of the command line; None: those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        say(f"rnnjax {__version__}")
    elif not arguments or arguments in (["--help"], ["-h"]):
        say(overview())
    else:
        warn(f"unknown argument {arguments[0]!r}; without any, the commands are listed")
        return ConfigError.exit_code
    return 0


def run() -> NoReturn:
    """Is the command `rnnjax`."""
    command_line.prepare()
    with command_line.errors_as_lines(is_listing=True):
        sys.exit(main())


if __name__ == "__main__":
    run()
