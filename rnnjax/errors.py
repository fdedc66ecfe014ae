"""Errors meant for the person at the keyboard: printed as one line, without a traceback."""

import difflib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

LIBRARIES = ("absl", "ml_collections", "jax", "jaxlib", "flax", "optax", "orbax.checkpoint", "clu")
LIBRARIES += ("numpy", "tensorflow", "tensorflow_datasets", "jaxtyping", "beartype")


class RunError(Exception):
    """A run cannot go on; the message says what is wrong, which value, and what to do."""

    exit_code = 1


class ConfigError(RunError, ValueError):
    """A setting that does not exist, or a value that it cannot take."""

    exit_code = 2


class DataError(RunError):
    """Training data that is missing, altered or unreadable."""

    exit_code = 2


class NonFiniteError(RunError):
    """The loss or a parameter became NaN or infinite.

    Args:
      message: what became so, and at which step; what may help is added to it.
      skipping_helps: whether `config.on_nan=skip` would have let the run go on.
    """

    def __init__(self, message: str, *, skipping_helps: bool = True) -> None:
        skipping = "--config.on_nan=skip leaves such steps out; " if skipping_helps else ""
        super().__init__(
            f"{message}; {skipping}config.optimizer.clip_norm=1 or a lower learning_rate in a new "
            "--workdir may help"
        )


def own_place(error: BaseException) -> str | None:
    """Returns `FILE:LINE` where a user's own code raised an error, or called what did.

    None if no frame of the error is in a file outside of rnnjax, Python and installed packages.
    """
    paths = sysconfig.get_paths()  # not all of them: a user's own code may be below sys.prefix
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [str(Path(__file__).parent), *(paths[kind] for kind in kinds)]
    # Packages may be elsewhere as well: of the user, of the system, wherever PYTHONPATH leads.
    modules = (sys.modules.get(name) for name in LIBRARIES)
    folders += [
        os.path.dirname(module.__file__) for module in modules if module and module.__file__
    ]
    libraries = [f"{folder}{os.sep}" for folder in folders]
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith((*libraries, "<")):
            place = f"{frame.filename}:{frame.lineno}"
    return place


def say_where(name: str, error: Exception) -> str:
    """Returns what went wrong in a cell of the user's own: the cell, and where in its file."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if reason.startswith(name):
        return reason
    place = own_place(error)
    return f"{name}, {place}: {reason}" if place else f"{name}: {reason}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of an error message about an unknown `name`: a suggestion, or all names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known are: {', '.join(known)}"
