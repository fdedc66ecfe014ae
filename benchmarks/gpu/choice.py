"""Which implementation "auto" should take on a GPU, as `FASTEST` of `rnnjax` has it.

The table has no place for a size. So an implementation has to be worth it over all that was
measured, and nowhere a loss: against "deferred", which "auto" takes by itself, or "scan" where that
cannot be had.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.gpu.programs import OURS
from benchmarks.gpu.rows import MEASURED, NOT_THERE, Row
from benchmarks.networks import cell_of
from rnnjax.cells import CELLS
from rnnjax.recurrent.implementations import FASTEST

WORTH_IT = 0.9  # of the time of a step, the geometric mean over all networks and sizes
NOWHERE_ABOVE = 1.1  # of the time of a step, or of a forward pass
BASELINES = ("deferred", "scan")


class Candidate(NamedTuple):
    cell: str  # a key of `CELLS`
    name: str
    steps: list[float]  # by the time of the baseline, for each network and size of the cell
    forward: list[float]
    objection: str | None  # why "auto" should not take it

    @property
    def mean(self) -> float:
        return math.exp(sum(map(math.log, self.steps)) / len(self.steps))


def candidates(rows: Iterable[Row]) -> list[Candidate]:
    """Returns all implementations that were measured against a baseline."""
    by_cell: dict[str, dict[tuple[str, tuple[int, ...]], dict[str, Row]]] = {}
    for row in rows:
        if row["part"] == "speed" and row["contender"] in OURS:
            case = by_cell.setdefault(cell_of(row["kind"]), {}).setdefault(
                (row["kind"], tuple(row["size"])), {}
            )
            case[row["contender"]] = row
    found = []
    for cell, cases in by_cell.items():
        for name in OURS:
            candidate = _candidate(cell, name, [*cases.values()])
            found += [] if candidate is None else [candidate]
    return found


def _candidate(cell: str, name: str, cases: list[dict[str, Row]]) -> Candidate | None:
    steps, forward, objection = [], [], None
    for case in cases:
        measured = [case[b] for b in BASELINES if case.get(b, {}).get("status") == MEASURED]
        if not measured or measured[0]["contender"] == name or name not in case:
            continue
        row = case[name]
        if row["status"] == MEASURED:
            steps.append(row["step_ms"] / measured[0]["step_ms"])
            forward.append(row["forward_ms"] / measured[0]["forward_ms"])
        elif row["status"] != NOT_THERE:  # there "auto" takes the baseline
            size = ", ".join(map(str, row["size"]))
            objection = f"{row['status']} at ({size})"
    if not steps:
        return None
    candidate = Candidate(cell, name, steps, forward, objection)
    worst = max(*steps, *forward)
    if objection is None and worst > NOWHERE_ABOVE:
        objection = f"somewhere {worst:.2f} of the time"
    if objection is None and candidate.mean > WORTH_IT:
        objection = "not worth it"
    return candidate._replace(objection=objection)


def choose(found: Iterable[Candidate]) -> dict[str, str]:
    """Returns by cell what "auto" should take, where that is not the baseline."""
    best: dict[str, Candidate] = {}
    for candidate in found:
        if candidate.objection is None:
            best[candidate.cell] = min(best.get(candidate.cell, candidate), candidate, key=_mean)
    return {cell: candidate.name for cell, candidate in best.items()}


def _mean(candidate: Candidate) -> float:
    return candidate.mean


def as_code(chosen: Mapping[str, str]) -> str:
    """Returns the rows of `FASTEST` with this choice for GPUs, and the import that they need."""
    names = {backend: {c.__name__: i for c, i in of.items()} for backend, of in FASTEST.items()}
    names["gpu"] = {CELLS[cell].__name__: name for cell, name in chosen.items()}
    cells = sorted({cell for of in names.values() for cell in of})
    needed = f"from rnnjax.cells import {', '.join(cells)}\n\n" if cells else ""
    rows = []
    for backend, of in names.items():
        of_backend = ", ".join(f'{cell}: "{name}"' for cell, name in of.items())
        rows.append(f'"{backend}": {{{of_backend}}}')
    return f"{needed}{{{', '.join(rows)}}}"
