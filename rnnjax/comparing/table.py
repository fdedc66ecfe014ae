"""The table of a comparison: a row for each variant, with what can be told of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnnjax.comparing.results import Run, Variant
from rnnjax.comparing.statistics import (
    FEWEST_SEEDS,
    LEVEL,
    Difference,
    Estimate,
    difference,
    estimate,
    holm,
    verdict,
)
from rnnjax.errors import ConfigError, did_you_mean
from rnnjax.system.messages import printable

UNKNOWN = "-"
OTHER_DATA = "other images"
CHOSEN = (
    "Whatever was chosen was chosen by the accuracy on the validation images. The test images have "
    "chosen nothing: they are the last columns."
)
NOT_HELD_OUT = (
    "No images were held out for validation: whoever chooses a row by its test accuracy has none "
    "left that tell how good it is."
)
READING = (
    "Accuracies are mean ± standard deviation over seeds. In brackets is where the mean over all "
    f"seeds lies on these images, an interval of {LEVEL:.0%} by a smoothed studentized bootstrap "
    "over seeds.",
    "The difference to the first variant is on the same seeds and images; in brackets is its "
    f"interval of {LEVEL:.0%} over all seeds and images. p is of a test of no difference, to which "
    "both are a sample, corrected by Holm's method for the number of variants; up to "
    f"{1 - LEVEL:.2f} a variant is better or worse. With fewer than {FEWEST_SEEDS} seeds nothing "
    "is tested.",
)


class Row(NamedTuple):
    name: str
    parameters: int
    ms_per_step: float  # the median over seeds
    num_runs: int
    validation: Estimate
    test: Estimate
    difference: Difference | None  # to the first; None: it is that, or has other images
    p: float  # corrected for all rows; NaN if nothing was tested
    verdict: str


class Column(NamedTuple):
    """A column of the table, by the name that people sort by."""

    text: Callable[[Row], str]
    key: Callable[[Row], float | str]  # what is sorted; NaN comes last
    is_best_high: bool = False


def summarize(variants: Sequence[Variant]) -> list[Row]:
    """Returns a row for each variant; the first is what the others are compared with."""
    differences = [None, *(_to_first(variants[0], other) for other in variants[1:])]
    p = holm(np.array([np.nan if d is None else d.p for d in differences]))
    rows = []
    for variant, found, corrected in zip(variants, differences, p.tolist(), strict=True):
        runs = variant.runs
        is_first = variant is variants[0]
        times = [run.ms_per_step for run in runs if np.isfinite(run.ms_per_step)]
        rows.append(
            Row(
                variant.name,
                runs[0].parameters,
                float(np.median(times)) if times else np.nan,
                len(runs),
                estimate(np.array([run.validation_accuracy for run in runs], float)),
                estimate(np.array([run.test_accuracy for run in runs], float)),
                found,
                corrected,
                verdict(found, corrected) if found else "first" if is_first else OTHER_DATA,
            )
        )
    return rows


def _to_first(first: Variant, other: Variant) -> Difference | None:
    """Returns the difference on the seeds that both have; None if their images are not the same."""
    if first.runs[0].settings["data.name"] != other.runs[0].settings["data.name"]:
        return None
    seeds = sorted(first.right.keys() & other.right.keys())
    if not seeds:
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    return difference(*(np.stack([v.right[seed] for seed in seeds]) for v in (first, other)))


def sort(rows: Sequence[Row], column: str) -> list[Row]:
    """Returns the rows in the order of a column, the best first.

    Raises:
      ConfigError: if there is no such column, naming those that there are.
    """
    check_column(column)
    of, sign = COLUMNS[column], -1 if COLUMNS[column].is_best_high else 1

    def order(row: Row) -> tuple[bool, float | str]:
        key = of.key(row)
        return (False, key) if isinstance(key, str) else (bool(np.isnan(key)), sign * key)

    return sorted(rows, key=order)


def check_column(name: str) -> None:
    """Raises a ConfigError if the table has no such column, naming those that there are."""
    if name not in COLUMNS:
        raise ConfigError(f"no column {name!r} to sort by; {did_you_mean(name, COLUMNS)}")


def to_markdown(rows: Sequence[Row], runs: Sequence[Run]) -> str:
    """Returns the table with how to read it.

    Args:
      rows: of `summarize`, in any order.
      runs: all of them, whose failures are told.
    """
    texts = [cells(row) for row in rows]
    lines = [[*COLUMNS], *([_code(name), *rest] for name, *rest in texts)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]  # of Markdown
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, rule)
    table = "\n".join(
        f"| {line[0]:{widths[0]}} | "
        + " | ".join(f"{cell:>{n}}" for cell, n in zip(line[1:], widths[1:], strict=True))
        + " |"
        for line in lines
    )
    failed = [f"- {failure}" for failure in failures(runs)]
    return "\n\n".join([table, chosen(rows), *READING, *failed]) + "\n"


def chosen(rows: Sequence[Row]) -> str:
    """Returns by which images one may choose among the rows."""
    return CHOSEN if any(row.validation.n for row in rows) else NOT_HELD_OUT


def _code(text: str) -> str:
    """Returns a text as Markdown's code, inside of a table."""
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"


def cells(row: Row) -> list[str]:
    """Returns the texts of a row, of each column."""
    return [column.text(row) for column in COLUMNS.values()]


def failures(runs: Sequence[Run]) -> list[str]:
    """Returns a line for each run that did not end."""
    return [f"{run.variant}, seed {run.seed}: {run.failure}" for run in runs if run.failure]


def _accuracy(of: Estimate) -> str:
    if not of.n:
        return UNKNOWN
    return f"{of.mean:.4f}" + (f" ± {of.sd:.4f}" if of.n > 1 else "")


def _number(value: float, form: str) -> str:
    return UNKNOWN if np.isnan(value) else format(value, form)


def _test(row: Row) -> str:
    low, high = row.test.low, row.test.high
    return _accuracy(row.test) + ("" if np.isnan(low) else f" ({low:.4f} to {high:.4f})")


def _seeds(row: Row) -> str:
    return f"{row.test.n}" if row.test.n == row.num_runs else f"{row.test.n} of {row.num_runs}"


def _difference(row: Row) -> str:
    of = row.difference
    if of is None or np.isnan(of.mean):
        return UNKNOWN
    return f"{of.mean:+.4f}" + ("" if np.isnan(of.low) else f" ({of.low:+.4f} to {of.high:+.4f})")


def _p(row: Row) -> str:
    return "< 0.001" if row.p < 0.001 else _number(row.p, ".3f")


COLUMNS: Mapping[str, Column] = {
    "variant": Column(lambda row: row.name, lambda row: row.name),
    "parameters": Column(lambda row: f"{row.parameters:,}", lambda row: row.parameters),
    "ms per step": Column(lambda row: _number(row.ms_per_step, ".1f"), lambda row: row.ms_per_step),
    "seeds": Column(_seeds, lambda row: row.test.n, is_best_high=True),
    "validation accuracy": Column(
        lambda row: _accuracy(row.validation), lambda row: row.validation.mean, is_best_high=True
    ),
    "test accuracy": Column(_test, lambda row: row.test.mean, is_best_high=True),
    "difference": Column(
        _difference,
        lambda row: np.nan if row.difference is None else row.difference.mean,
        is_best_high=True,
    ),
    "p": Column(_p, lambda row: row.p),
    "verdict": Column(lambda row: row.verdict, lambda row: row.verdict),
}
