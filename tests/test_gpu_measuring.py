"""What `python -m benchmarks.gpu` measures, and what becomes of what fails, hangs or is wrong."""

import functools
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from benchmarks.gpu import at_once, correctness, programs, worker
from benchmarks.gpu import speed as timed
from benchmarks.gpu.log import Log
from benchmarks.gpu.report import to_markdown
from benchmarks.networks import Problem
from tests.cases import assert_close

LONGEST_WAIT = 60


@pytest.mark.parametrize("kind", ["lstm", "lstm_2_layers", "bilstm"])
def test_cudnn_gets_our_weights(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JAX's own stand-in reads them."""

    def lstm(x: Any, h: Any, c: Any, weights: Any, lengths: Any, *sizes: Any) -> Any:
        features, hidden, layers, _, both_ways = sizes
        parts = rnn.unpack_lstm_weights(weights, features, hidden, layers, both_ways)
        return rnn.lstm_ref(x, h, c, *parts, lengths, *sizes)

    monkeypatch.setattr(rnn, "lstm", lstm)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    problem = Problem(kind, 8, 3, 5, 4)
    inputs = jnp.asarray(problem.inputs())
    logits = []
    for name in (programs.CUDNN, "scan"):
        last_hidden, params = programs.network(name, problem)
        logits.append(last_hidden(jax.tree.map(jnp.asarray, params["network"]), inputs))
    actual, expected = logits
    assert_close(actual, expected, 1e-6)


def test_what_is_wrong_is_not_measured_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An implementation whose outputs are off by a thousandth; of all networks of its cell."""
    exact, written = correctness.both_ways, Log(tmp_path / "log.jsonl")

    def off(problem: Problem, implementation: str, **fields: Any) -> Any:
        run, factor = exact(problem, implementation, **fields), 1 + 1e-3 * (not fields)
        return lambda *arguments: jax.tree.map(lambda leaf: leaf * factor, run(*arguments))

    monkeypatch.setattr(correctness, "both_ways", off)
    case = {"kind": "lstm", "size": [16, 16, 2, 4]}
    assert not worker.measure(written, 0, "correctness", case | {"contender": "scan"})
    highest, default = written.rows(0)
    assert (highest["status"], default["status"]) == ("failed", "measured")
    assert highest["reason"] == "off by 1.0e-03, of which 5e-05 is allowed"
    worker.measure(written, 1, "speed", case | {"kind": "bilstm", "contenders": ["scan"]})
    (row,) = written.rows(1)
    assert (row["contender"], row["status"]) == ("scan", "left out")
    assert correctness.greatest_error(np.array([1.0, np.nan]), np.ones(2)) is None


def test_what_does_not_compile_to_the_end_keeps_back_nothing_else() -> None:
    others_are_there = threading.Event()
    makers = {"endless": lambda: others_are_there.wait(LONGEST_WAIT), "other": lambda: True}
    results = programs.attempt_all(makers)
    assert next(results) == ("other", True)
    others_are_there.set()
    assert [*results] == [("endless", True)]


def test_a_device_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one contender has done to it fails the others; each has its row, and so the report."""

    def build(name: str, _: Problem) -> programs.Program:
        if name == "fused":
            raise RuntimeError("an illegal address")
        run = functools.partial(jnp.ones, 1)
        return programs.Program({"forward": run, "step": run}, jax.block_until_ready, None)

    def take_turns(*_: Any) -> None:
        raise RuntimeError("a sticky error")

    monkeypatch.setattr(timed, "build", build)
    monkeypatch.setattr(timed, "take_turns", take_turns)
    written = Log(tmp_path / "log.jsonl")
    case = {"kind": "lstm", "size": [16, 16, 2, 4], "contenders": [*programs.OURS]}
    assert not worker.measure(written, 0, "speed", case)
    reasons = {(row["contender"], row["status"]): row["reason"] for row in written.rows()}
    expected = {(name, "failed"): "RuntimeError: a sticky error" for name in programs.OURS}
    assert reasons == expected | {("fused", "failed"): "RuntimeError: an illegal address"}
    assert "a sticky error" in to_markdown({"backend": "gpu", "device": "a"}, written.rows(), 1.0)


def test_what_is_off_at_the_size_that_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By more than two products of low precision may differ; the first is the measure."""
    factors = {"scan": 1.03, "deferred": 1.0, "fused": 1.05}

    def build(name: str, _: Problem) -> programs.Program:
        run = functools.partial(jnp.full, 3, factors[name])
        return programs.Program({"forward": run, "step": run}, jax.block_until_ready, None)

    monkeypatch.setattr(timed, "build", build)
    rows = timed.run("lstm", [16, 16, 2, 4], [*factors])
    found = {row["contender"]: (row["status"], row.get("reason")) for row in rows}
    assert found == {
        "scan": ("measured", None),
        "deferred": ("measured", None),
        "fused": ("failed", "off by 5.0e-02, of which 4e-02 is allowed"),
    }


def test_seeds_that_are_mixed_up() -> None:
    problem = Problem("rnn", 16, 16, 2, 4)
    alone, three = (at_once.of_seeds(problem, "scan", count) for count in (1, 3))
    step = three.runs["step"]
    mixed = three._replace(
        runs={"step": lambda: jax.tree.map(lambda leaf: jnp.roll(leaf, 1, 0), step())}
    )
    found = at_once.compare_seeds({("scan", 1): alone, ("scan", 3): three})
    assert found["scan", 3]["status"] == "measured"
    found = at_once.compare_seeds({("scan", 1): alone, ("scan", 3): mixed})
    assert found["scan", 3]["status"] == "failed"
