"""Text for a terminal, which obeys some characters instead of showing them."""

import contextlib
import os
import sys
from collections.abc import Iterator

from rnnjax.errors import RunError


def on_terminal() -> bool:
    """Whether somebody watches standard output in a terminal, where a line can be written over.

    A notebook gives its commands, `!python ...`, a terminal as well, but shows what is left of a
    longer line behind a shorter one; mpirun has one for each of its processes.
    """
    # Jupyter and Open MPI set these for what they start.
    has_one_of_its_own = {"JPY_PARENT_PID", "OMPI_COMM_WORLD_RANK"} & os.environ.keys()
    return sys.stdout.isatty() and not has_one_of_its_own


def say(text: str) -> None:
    """Prints lines on standard output, at once.

    Raises:
      RunError: if it cannot be written.
    """
    with output_error_as_run_error():
        print("\n".join(map(printable, text.split("\n"))), flush=True)


def flush_output() -> None:
    """Writes what others have printed; raises a RunError if that cannot be written."""
    with output_error_as_run_error():
        sys.stdout.flush()


@contextlib.contextmanager
def output_error_as_run_error() -> Iterator[None]:
    """Raises a RunError if standard output, to which something is written, cannot take it."""
    try:
        yield
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- for the life of the process
        raise RunError(
            f"standard output cannot be written: {error.strerror}; send it elsewhere"
        ) from error


def printable(text: str) -> str:
    r"""Returns a text of one line with whatever is not shown as it is in Python's notation.

    Names of files and values of settings may hold escape sequences, which would change colours,
    title and contents of a terminal, or letters that turn the order of others round.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def warn(text: str) -> None:
    """Prints a line on standard error."""
    print(f"rnnjax: {printable(text)}", file=sys.stderr, flush=True)
