"""Whether steps of training come to the same bits again, in one process and in another."""

import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.programs import (
    CompiledStep,
    attempt,
    attempt_all,
    compile_step,
    network,
    update,
)
from benchmarks.gpu.rows import MEASURED, Row, refusal
from benchmarks.networks import Problem

STEPS = 10


def run(kind: str, size: list[int], process: str, contenders: list[str]) -> Iterator[Row]:
    """Yields a row for each contender, with the digest of its params after the steps.

    What is to be compared with another process is this digest.
    """
    del process  # a label of the rows
    problem = Problem(kind, *size)
    makers = {name: functools.partial(compile_named, problem, name) for name in contenders}
    for name, step in attempt_all(makers):
        digests = (
            step if isinstance(step, Exception) else attempt(functools.partial(train_twice, step))
        )
        if isinstance(digests, Exception):
            yield {"contender": name, **refusal(digests)}
            continue
        yield {
            "contender": name,
            "status": MEASURED,
            "same_in_the_process": digests[0] == digests[1],
            "digest": digests[0],
        }


def compile_named(problem: Problem, name: str) -> tuple[CompiledStep, Any]:
    """Returns a step, and the params to begin with."""
    last_hidden, start = network(name, problem)
    return compile_step(problem, functools.partial(update, last_hidden), start), start


def train_twice(begin: tuple[CompiledStep, Any]) -> tuple[str, str]:
    """Returns the digests of the params after the same steps, taken twice by one program."""
    step, start = begin

    def train() -> str:
        params = jax.tree.map(jnp.array, start)
        for _ in range(STEPS):
            params, _ = step(params)
        leaves = jax.tree.leaves(jax.device_get(params))
        return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()

    return train(), train()
