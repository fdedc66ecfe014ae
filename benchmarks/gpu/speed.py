"""Forward passes and steps of SGD, of ours by what runs the steps, and of the peers."""

import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from benchmarks.gpu.correctness import (
    TOLERANCES,
    fetch,
    greatest_error,
    judge,
    reference_logits,
)
from benchmarks.gpu.programs import BASELINES, OURS, TORCH, build
from benchmarks.gpu.rows import MEASURED, Programs, Row, build_labelled
from benchmarks.networks import Problem
from benchmarks.turns import take_turns

ROUNDS, TURN = 3, 0.05  # seconds at least that a contender has in a round
DTYPES = ("float32", "bfloat16")  # of the products; the parameters of ours stay in float32


def run(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender."""
    problem = Problem(kind, *size)
    makers = {(name,): functools.partial(build, name, problem) for name in contenders}
    yield from _measure(makers, ("contender",), compare_ours)


def run_bf16(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender and dtype, with the error of the logits."""
    problem = Problem(kind, *size)
    makers = {
        (name, dtype): functools.partial(build, name, problem, dtype=jnp.dtype(dtype))
        for name in contenders
        for dtype in DTYPES
        if name in (*OURS, *TORCH)
    }
    yield from _measure(makers, ("contender", "dtype"), functools.partial(errors_of, problem))


def compare_ours(programs: Programs) -> dict[Any, Row]:
    """Returns how far the logits of ours are off those of the first, as they will be timed.

    What is checked against float64 is smaller than what is timed, and has no network of two layers
    or two directions. Each of the two may be off by what is allowed there.
    """
    found = {key: fetch(program) for key, program in programs.items() if key[0] in OURS}
    names = [(name,) for name in BASELINES if (name,) in found]
    expected = found.pop(names[0]) if names else None
    tolerance = 2 * TOLERANCES["default"]
    return {key: judge(greatest_error(of, expected), tolerance) for key, of in found.items()}


def errors_of(problem: Problem, programs: Programs) -> dict[Any, Row]:
    """Returns how far all logits are off those in float64, which is no failure."""
    return {
        key: {"error": greatest_error(fetch(program), reference_logits(problem))}
        for key, program in programs.items()
    }


def _measure(
    makers: Any, labels: Sequence[str], check: Callable[[Programs], dict[Any, Row]]
) -> Iterator[Row]:
    """Yields a row for each maker, whose key has a value for each label."""
    programs, checks = yield from build_labelled(makers, labels, check)
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
            **checks.get(key, {}),
        }
