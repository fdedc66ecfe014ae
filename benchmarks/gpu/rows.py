"""A row of a table: what was measured of what, or why it was not."""

from collections.abc import Callable, Generator, Mapping, Sequence
from traceback import format_exception
from typing import Any, TypeAlias

from benchmarks.gpu.programs import NotThereError, Program, build_all
from rnnjax.recurrent.factored import UnavailableError

Programs: TypeAlias = Mapping[tuple[Any, ...], Program]  # by the values of labels
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


def build_labelled(
    makers: Mapping[tuple[Any, ...], Callable[[], Program]],
    labels: Sequence[str],
    check: Callable[[Programs], dict[Any, Row]],
) -> Generator[Row, None, tuple[dict[Any, Program], dict[Any, Row]]]:
    """Yields a row for each program that is not to be measured.

    Args:
      makers: by keys that have a value for each label.
      labels: of rows.
      check: returns the ends of rows of some programs; what failed is not measured.

    Returns:
      The others, in order, and what their check has found.
    """
    programs: dict[Any, Program] = {}
    for key, made in build_all(makers):
        if isinstance(made, Exception):
            yield {**dict(zip(labels, key, strict=True)), **refusal(made)}
        else:
            programs[key] = made
    checks = check(programs)
    for key in [key for key, of in checks.items() if of.get("status") == FAILED]:
        del programs[key]
        yield {**dict(zip(labels, key, strict=True)), **checks[key]}
    return {key: programs[key] for key in makers if key in programs}, checks
