"""Forward passes and steps of SGD, of ours by what runs the steps, and of the peers."""

import functools
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from benchmarks.gpu.correctness import fetch, greatest_error, reference_logits
from benchmarks.gpu.programs import OURS, TORCH, build
from benchmarks.gpu.rows import MEASURED, Row, build_labelled
from benchmarks.networks import Problem
from benchmarks.turns import take_turns

ROUNDS, TURN = 3, 0.05  # seconds at least that a contender has in a round
DTYPES = ("float32", "bfloat16")  # of the products; the parameters of ours stay in float32


def run(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender."""
    problem = Problem(kind, *size)
    makers = {(name,): functools.partial(build, name, problem) for name in contenders}
    yield from _measure(makers, ("contender",))


def run_bf16(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender and dtype, with the error of the logits."""
    problem = Problem(kind, *size)
    makers = {
        (name, dtype): functools.partial(build, name, problem, dtype=jnp.dtype(dtype))
        for name in contenders
        for dtype in DTYPES
        if name in (*OURS, *TORCH)
    }
    yield from _measure(makers, ("contender", "dtype"), problem)


def _measure(makers: Any, labels: Sequence[str], problem: Problem | None = None) -> Iterator[Row]:
    """Yields a row for each maker, whose key has a value for each label."""
    programs = yield from build_labelled(makers, labels)
    errors = {
        key: {"error": greatest_error(fetch(program), reference_logits(problem))}
        for key, program in programs.items()
        if problem is not None
    }
    times: Any = {what: take_turns(programs, what, ROUNDS, TURN) for what in ("forward", "step")}
    for key, program in programs.items():
        forward, step = times["forward"][key], times["step"][key]
        yield {
            **dict(zip(labels, key, strict=True)),
            "status": MEASURED,
            "forward_ms": statistics.median(forward),
            "step_ms": statistics.median(step),
            "forward_ms_of_rounds": forward,
            "step_ms_of_rounds": step,
            "planned_mib": program.planned_mib,
            **errors.get(key, {}),
        }
