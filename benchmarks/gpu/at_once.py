"""Several seeds in one program, and several steps in one dispatch."""

import functools
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.gpu.correctness import TOLERANCES, greatest_error, judge
from benchmarks.gpu.programs import Program, draw_like, network, of_steps, update
from benchmarks.gpu.rows import MEASURED, Programs, Row, build_labelled
from benchmarks.gpu.speed import ROUNDS, TURN
from benchmarks.networks import Problem
from benchmarks.turns import take_turns

SEEDS = (1, 8, 32)
STEPS = (1, 10, 100)


def run_seeds(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender and number of seeds: ms of a step of one of them."""
    yield from _measure(Problem(kind, *size), contenders, "seeds", SEEDS, of_seeds, compare_seeds)


def run_dispatch(kind: str, size: list[int], contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender and number of steps in a dispatch: ms of one of them."""
    yield from _measure(Problem(kind, *size), contenders, "steps", STEPS, of_dispatch, lambda _: {})


def of_seeds(problem: Problem, name: str, count: int) -> Program:
    """Steps of networks that differ in their params, which lead with that axis."""
    last_hidden, params = network(name, problem)
    step = functools.partial(update, last_hidden)
    if count == 1:
        return of_steps(problem, step, params)
    others = [draw_like(params, problem.hidden, seed) for seed in range(1, count)]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), params, *others)
    return of_steps(problem, jax.vmap(step, (0, None, None)), params)


def compare_seeds(programs: Programs) -> dict[Any, Row]:
    """Returns how far params and loss of the first seed are off those of a program of its own.

    After as many steps, whose rate is small: it tells seeds that are mixed up, and what is no
    number.
    """
    found = {key: program.runs["step"]() for key, program in programs.items()}
    alone = {name: result for (name, count), result in found.items() if count == 1}
    firsts = {
        (name, count): jax.tree.map(lambda leaf: leaf[0], result)
        for (name, count), result in found.items()
        if count > 1 and name in alone
    }
    return {
        key: judge(greatest_error(first, alone[key[0]]), TOLERANCES["default"])
        for key, first in firsts.items()
    }


def of_dispatch(problem: Problem, name: str, count: int) -> Program:
    """Steps one after the other in a program; a single one as it is."""
    last_hidden, params = network(name, problem)
    step = functools.partial(update, last_hidden)

    def steps(params: Any, inputs: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        return jax.lax.scan(lambda params, _: step(params, inputs, labels), params, length=count)

    return of_steps(problem, step if count == 1 else steps, params)


def _measure(
    problem: Problem,
    contenders: list[str],
    label: str,
    counts: tuple[int, ...],
    of: Callable[..., Program],
    check: Callable[[Programs], dict[Any, Row]],
) -> Iterator[Row]:
    makers = {
        (name, count): functools.partial(of, problem, name, count)
        for name in contenders
        for count in counts
    }
    programs, checks = yield from build_labelled(makers, ("contender", label), check)
    times: Any = take_turns(programs, "step", ROUNDS, TURN)  # pyright: ignore[reportArgumentType]
    for (name, count), program in programs.items():
        yield {
            "contender": name,
            label: count,
            "status": MEASURED,
            "step_ms": statistics.median(times[name, count]) / count,
            "planned_mib": program.planned_mib,
            **checks.get((name, count), {}),
        }
