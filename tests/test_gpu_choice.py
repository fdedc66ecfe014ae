"""What `python -m benchmarks.gpu` would have "auto" take, by the rows that it is told."""

from typing import Any

import pytest

from benchmarks.gpu import choice, programs
from benchmarks.gpu.report import to_markdown
from rnnjax.cells import CELLS
from rnnjax.recurrent.implementations import FASTEST


def speed(kind: str, contender: str, ms: float | None, status: str = "measured") -> dict[str, Any]:
    row = {"part": "speed", "kind": kind, "size": [16, 16, 4, 4], "contender": contender}
    times = {"forward_ms": ms, "step_ms": ms, "planned_mib": None}
    return {**row, "status": status, **(times if status == "measured" else {"reason": "none"})}


def check(kind: str, contender: str, status: str = "measured") -> dict[str, Any]:
    row = {"part": "correctness", "kind": kind, "contender": contender, "status": status}
    figures = {"precision": "default", "error": 0.0, "tolerance": 0.02}
    return row | (figures if status == "measured" else {"reason": "none"})


def whole(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows of a plan: these, and of its other cases those that change no choice."""
    found: dict[Any, dict[str, Any]] = {}
    for kind in ("lstm", "bilstm", "gru"):
        of = [speed(kind, name, None, "not there") for name in programs.OURS]
        of += [check(kind, name) for name in programs.OURS if kind != "bilstm"]
        for row in [*of, speed(kind, "deferred", 1.0)]:
            found[row["part"], kind, row["contender"]] = row
    for row in rows:
        found[row["part"], row["kind"], row["contender"]] = row
    return [*found.values()]


CHOICES: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "the fastest": ([speed("lstm", "fused", 0.8), speed("lstm", "cudnn", 0.5)], {"lstm": "cudnn"}),
    "not worth it": ([speed("lstm", "fused", 0.95)], {}),
    "somewhere a loss": ([speed("lstm", "fused", 0.1), speed("bilstm", "fused", 1.2)], {}),
    "over all networks": (
        [speed("lstm", "fused", 0.5), speed("bilstm", "fused", 1.05), speed("lstm", "cudnn", 0.85)],
        {"lstm": "fused"},
    ),
    "somewhere failed": (
        [speed("lstm", "fused", 0.5), speed("bilstm", "fused", None, "failed")],
        {},
    ),
    "somewhere not there": (
        [speed("lstm", "fused", 0.5), speed("bilstm", "fused", None, "not there")],
        {"lstm": "fused"},
    ),
    "somewhere failed, with all": (
        [
            speed("lstm", "fused", 0.5),
            *(speed("bilstm", name, None, "failed") for name in programs.OURS),
        ],
        {},
    ),
    "somewhere left out": (
        [speed("lstm", "fused", 0.5), speed("bilstm", "fused", None, "left out")],
        {},
    ),
    "somewhere without a baseline": (
        [
            *(speed("lstm", "fused", 0.5), speed("bilstm", "fused", 0.5)),
            speed("bilstm", "deferred", None, "left out"),
        ],
        {},
    ),
    "against the scan": (
        [
            *(speed("gru", "fused", 0.5), speed("gru", "scan", 1.0)),
            speed("gru", "deferred", None, "not there"),
        ],
        {"gru": "fused"},
    ),
    "not checked": ([speed("lstm", "fused", 0.5), check("lstm", "fused", "left out")], {}),
    "wrong": ([speed("lstm", "fused", 0.5), check("lstm", "fused", "failed")], {}),
    "of another cell": ([speed("gru", "fused", 0.5)], {"gru": "fused"}),
    "no peer": ([speed("lstm", "flax.linen.RNN", 0.1)], {}),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_choice(case: str) -> None:
    rows, chosen = CHOICES[case]
    assert choice.choose(choice.candidates(whole(rows))) == chosen


def code_of(rows: list[dict[str, Any]]) -> str:
    """Returns the code in the report of a GPU."""
    text = to_markdown({"backend": "gpu", "device": "a GPU"}, whole(rows), 1.0)
    assert text.startswith("# a GPU\n")
    _, code, _ = text.rsplit("```", 2)
    return code.removeprefix("python\n")


def test_the_choice_is_written_as_the_code_has_it() -> None:
    rows = [speed(kind, "fused", 0.5) for kind in ("lstm", "bilstm", "gru")]
    assert code_of(rows) == (
        "from rnnjax.cells import GRUCell, LSTMCell\n\n"
        '{"cpu": {}, "gpu": {LSTMCell: "fused", GRUCell: "fused"}, "tpu": {}}\n'
    )
    assert choice.as_code({}, []) == repr(dict(FASTEST)).replace("'", '"')


def test_where_deferred_is_wrong_it_is_the_scan_that_is_taken() -> None:
    """And nothing else, which would fall back to what is wrong."""
    rows = [check("lstm", "deferred", "failed"), speed("lstm", "deferred", None, "left out")]
    assert '"gpu": {LSTMCell: "scan"}' in code_of([*rows, speed("lstm", "fused", 0.5)])


@pytest.mark.parametrize(
    ("status", "is_kept"), [("left out", True), ("not there", True), ("failed", False)]
)
def test_what_was_chosen_before(
    status: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, unless it is measured to be worse."""
    monkeypatch.setattr(choice, "FASTEST", {"gpu": {CELLS["gru"]: "fused"}})
    code = code_of([speed("lstm", "fused", 0.5), speed("gru", "fused", None, status)])
    assert ('GRUCell: "fused"' in code) == is_kept
    assert 'LSTMCell: "fused"' in code
