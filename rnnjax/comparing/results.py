"""What the runs of a comparison have come to: a row each, as CSV for other programs and as JSON."""

import csv
import functools
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from rnnjax.errors import DataError
from rnnjax.reporting.page.run_figures import Band, Curve
from rnnjax.system import files
from rnnjax.system.messages import printable


class Run(NamedTuple):
    """One run; its figures are NaN where it failed, or nothing tells them."""

    variant: str  # the settings that the variants differ in
    seed: int
    parameters: int
    validation_accuracy: float
    test_accuracy: float
    test_loss: float
    seconds: float
    ms_per_step: float  # the median
    peak_memory: float  # bytes
    failure: str  # why it did not end; empty if it did
    settings: Mapping[str, Any]  # all of them, by dotted name


class Variant(NamedTuple):
    """Runs whose settings differ in the seed only."""

    name: str
    runs: Sequence[Run]
    right: Mapping[int, Bool[np.ndarray, " N"]]  # by seed: whether each test image is told right
    curves: Sequence[Curve]  # validation accuracy over the steps, of each run that ended


def band(curves: Sequence[Curve]) -> Band:
    """Returns the mean of curves, at the steps that all of them have, and how they spread."""
    steps = functools.reduce(np.intersect1d, [curve.steps for curve in curves])
    values = np.stack([curve.values[np.isin(curve.steps, steps)] for curve in curves])
    sd = values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
    return Band(steps, values.mean(axis=0), sd)


FIGURES = tuple(name for name in Run._fields if Run.__annotations__[name] is float)


def to_csv(runs: Sequence[Run]) -> bytes:
    """Returns a table of runs; settings are `config.NAME`, and what is unknown is empty."""
    settings = list(dict.fromkeys(name for run in runs for name in run.settings))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*Run._fields[:-1], *(f"config.{name}" for name in settings)])
    for run in runs:
        figures = [value for name, value in _plain(run).items() if name != "settings"]
        writer.writerow([*figures, *(_cell(run.settings.get(name)) for name in settings)])
    return file.getvalue().encode()


def _cell(setting: object) -> object:
    return json.dumps(setting) if isinstance(setting, dict | list) else setting


def to_json(runs: Sequence[Run]) -> bytes:
    """Returns the same for `read_json`; what is unknown is null."""
    content = {"runs": [_plain(run) for run in runs]}
    return json.dumps(content, indent=2, allow_nan=False).encode() + b"\n"


def _plain(run: Run) -> dict[str, Any]:
    """Returns a run of JSON types."""
    figures = {name: float(getattr(run, name)) for name in FIGURES}
    known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return {**run._asdict(), **known, "settings": dict(run.settings)}


def read_json(path: Path) -> list[Run]:
    """Reads what `to_json` has written.

    Raises:
      DataError: if there is no such file, or it is something else.
    """
    try:
        stored = json.loads(files.read_bytes(path))["runs"]
        return [_parse(run) for run in stored]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = printable(str(error))
        raise DataError(f"{path} is no file of a comparison's results: {reason}") from error


def _parse(stored: Mapping[str, Any]) -> Run:
    run = Run(**stored)
    figures = {name: getattr(run, name) for name in FIGURES}
    run = run._replace(**{n: math.nan if v is None else float(v) for n, v in figures.items()})
    wrong = [
        name
        for name, kind in (("variant", str), ("seed", int), ("parameters", int), ("failure", str))
        if type(getattr(run, name)) is not kind
    ]
    if wrong or not isinstance(run.settings, dict):
        raise ValueError(f"{wrong[0] if wrong else 'settings'} cannot be")
    return run
