"""Which implementation "auto" should take on a GPU, as `FASTEST` of `rnnjax` has it.

The table has no place for a size. So an implementation has to be right, worth it over all networks
and sizes, and nowhere a loss: against "deferred", which "auto" takes by itself, or "scan" where
that cannot be had. What was planned and not measured speaks for nothing.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.gpu.programs import BASELINES, OURS
from benchmarks.gpu.rows import FAILED, MEASURED, NOT_THERE, Row
from benchmarks.networks import cell_of
from rnnjax.cells import CELLS
from rnnjax.recurrent.implementations import FASTEST

WORTH_IT = 0.9  # of the time of a step, the geometric mean over all networks and sizes
NOWHERE_ABOVE = 1.1  # of the time of a step, or of a forward pass


class Candidate(NamedTuple):
    cell: str  # a key of `CELLS`
    name: str
    planned: int  # networks and sizes of the cell that it could be measured at
    steps: list[float]  # by the time of the baseline, for each of them that was measured
    forward: list[float]
    objection: str | None  # why "auto" should not take it
    is_open: bool  # whether the objection is only that something was not measured

    @property
    def mean(self) -> float:
        return math.exp(sum(map(math.log, self.steps)) / len(self.steps))


def candidates(rows: Iterable[Row]) -> list[Candidate]:
    """Returns all implementations that could be had in the place of the baseline."""
    rows = [row for row in rows if row["contender"] in OURS]
    by_cell: dict[str, dict[tuple[str, tuple[int, ...]], dict[str, Row]]] = {}
    for row in rows:
        if row["part"] == "speed" and cell_of(row["kind"]) in CELLS:
            cases = by_cell.setdefault(cell_of(row["kind"]), {})
            cases.setdefault((row["kind"], tuple(row["size"])), {})[row["contender"]] = row
    found = []
    for cell, cases in by_cell.items():
        for name in OURS:
            candidate = _candidate(cell, name, [*cases.values()], _checks(rows, cell, name))
            found += [] if candidate is None else [candidate]
    return found


def _candidate(
    cell: str, name: str, cases: list[dict[str, Row]], checks: set[str]
) -> Candidate | None:
    """Returns what there is to say for and against it; None if it is nowhere to be weighed."""
    steps, forward, failures, gaps = [], [], [], []
    # Where it is not there, "auto" takes the baseline.
    there = [
        (case[name], baseline)
        for case in cases
        if (baseline := _baseline(case))["contender"] != name and case[name]["status"] != NOT_THERE
    ]
    for row, baseline in there:
        at = f"{row['kind']} ({', '.join(map(str, row['size']))})"
        if row["status"] == FAILED:
            failures.append(f"failed at {at}")
        elif row["status"] != MEASURED:
            gaps.append(f"{row['status']} at {at}")
        elif baseline["status"] != MEASURED:
            gaps.append(f"nothing to compare with at {at}")
        else:
            steps.append(row["step_ms"] / baseline["step_ms"])
            forward.append(row["forward_ms"] / baseline["forward_ms"])
    if not there:
        return None
    candidate = Candidate(cell, name, len(there), steps, forward, None, False)
    if FAILED in checks:
        failures.insert(0, "failed the check against float64")
    elif checks != {MEASURED}:
        gaps.append("not checked against float64")
    worst = max([*steps, *forward], default=0.0)
    if not failures and worst > NOWHERE_ABOVE:
        failures.append(f"somewhere {worst:.2f} of the time")
    if not failures and not gaps and candidate.mean > WORTH_IT:
        failures.append("not worth it")
    objection = next(iter([*failures, *gaps]), None)
    return candidate._replace(objection=objection, is_open=bool(gaps) and not failures)


def _baseline(case: Mapping[str, Row]) -> Row:
    """Returns the row of what "auto" takes by itself."""
    deferred, scan = (case[name] for name in BASELINES)
    return scan if deferred["status"] == NOT_THERE else deferred


def _checks(rows: Iterable[Row], cell: str, name: str) -> set[str]:
    """Returns what has become of the checks of a cell."""
    return {
        row["status"]
        for row in rows
        if (row["part"], row["kind"], row["contender"]) == ("correctness", cell, name)
    }


def without_deferred(rows: Iterable[Row]) -> list[str]:
    """Returns the cells for which "deferred" is wrong, and "scan" is not."""
    rows = [*rows]
    return [
        cell
        for cell in CELLS
        if FAILED in _checks(rows, cell, "deferred") and _checks(rows, cell, "scan") == {MEASURED}
    ]


def choose(found: Iterable[Candidate]) -> dict[str, str]:
    """Returns by cell what "auto" should take, where that is not the baseline."""
    best: dict[str, Candidate] = {}
    for candidate in found:
        if candidate.objection is None:
            best[candidate.cell] = min(best.get(candidate.cell, candidate), candidate, key=_mean)
    return {cell: candidate.name for cell, candidate in best.items()}


def _mean(candidate: Candidate) -> float:
    return candidate.mean


def as_code(chosen: Mapping[str, str], found: Iterable[Candidate]) -> str:
    """Returns the rows of `FASTEST` with this choice for GPUs, and the import that they need.

    A row that is there stays, unless something else is chosen or its candidate has been rejected.
    """
    rejected = {
        (CELLS[c.cell].__name__, c.name) for c in found if c.objection is not None and not c.is_open
    }
    names = {backend: {c.__name__: i for c, i in of.items()} for backend, of in FASTEST.items()}
    kept = {cell: name for cell, name in names["gpu"].items() if (cell, name) not in rejected}
    names["gpu"] = kept | {CELLS[cell].__name__: name for cell, name in chosen.items()}
    cells = sorted({cell for of in names.values() for cell in of})
    needed = f"from rnnjax.cells import {', '.join(cells)}\n\n" if cells else ""
    rows = []
    for backend, of in names.items():
        of_backend = ", ".join(f'{cell}: "{name}"' for cell, name in of.items())
        rows.append(f'"{backend}": {{{of_backend}}}')
    return f"{needed}{{{', '.join(rows)}}}"
