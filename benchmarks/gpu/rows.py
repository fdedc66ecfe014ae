"""A row of a table: what was measured of what, or why it was not."""

from collections.abc import Mapping
from traceback import format_exception
from typing import Any, TypeVar

from benchmarks.gpu.programs import NotThereError, Program
from rnnjax.recurrent.factored import UnavailableError

K = TypeVar("K")

Row = dict[str, Any]  # with a status: one of these
MEASURED, NOT_THERE, FAILED, LEFT_OUT = "measured", "not there", "failed", "left out"


def refusal(error: Exception) -> Row:
    """Returns the end of a row: what cannot be had, or what failed."""
    cause = error.__cause__
    if isinstance(cause, UnavailableError):
        return {"status": NOT_THERE, "reason": one_line(str(cause))}
    if isinstance(error, NotThereError):
        return {"status": NOT_THERE, "reason": one_line(str(error))}
    trace = "".join(format_exception(error))[-4_000:]
    reason = one_line(f"{type(error).__name__}: {error}")
    return {"status": FAILED, "reason": reason, "traceback": trace}


def one_line(text: str, width: int = 160) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0].replace("|", "/") if lines else "no message"
    return first if len(first) <= width else f"{first[: width - 3]}..."


def split(
    results: Mapping[K, Program | Exception],
) -> tuple[dict[K, Program], dict[K, Row]]:
    """Returns what can be measured, and the ends of the rows of what cannot."""
    programs = {k: r for k, r in results.items() if not isinstance(r, Exception)}
    return programs, {k: refusal(r) for k, r in results.items() if isinstance(r, Exception)}
