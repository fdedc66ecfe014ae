"""Text for a terminal, which obeys some characters instead of showing them."""

import sys


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
