"""The memory of a step, as XLA plans it and as the device has it, in a process of its own."""

import functools
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.gpu.programs import TORCH, Program, build, network, of_steps, update
from benchmarks.gpu.rows import MEASURED, Row, refusal
from benchmarks.networks import Problem


def run(kind: str, size: list[int], contender: str) -> Iterator[Row]:
    """Yields one row. What compiling took of the device's memory is part of its peak."""
    try:
        program = steps(contender, Problem(kind, *size))
        program.milliseconds("step", 3)
        peak = peak_mib(contender)
    except Exception as error:  # of any library: it is reported
        yield refusal(error)
        return
    yield {"status": MEASURED, "planned_mib": program.planned_mib, "peak_mib": peak}


def steps(contender: str, problem: Problem) -> Program:
    """Returns a program that has nothing else in the device's memory, if JAX is what runs it."""
    if contender in TORCH:
        return build(contender, problem)
    last_hidden, params = network(contender, problem)
    return of_steps(problem, functools.partial(update, last_hidden), params)


def peak_mib(contender: str) -> float | None:
    """Returns the most memory of the device that was taken so far; None where nothing counts it."""
    if contender in TORCH:
        from benchmarks.gpu import torch_programs

        return torch_programs.peak_mib()
    counted: Any = jax.local_devices()[0].memory_stats()
    return counted["peak_bytes_in_use"] / 2**20 if counted else None
