"""All implementations against float64 on the CPU: values and gradients; of the peers, logits."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.programs import OURS, build, draw_params, on_cpu
from benchmarks.gpu.rows import FAILED, MEASURED, Row, refusal
from benchmarks.networks import Problem, logits, ours
from rnnjax.recurrent.unroll import unroll

# Errors are of the greatest value of an array. By default a GPU rounds the factors of a product to
# 11 bits (TF32), each to 5e-4, and a recurrence adds up such errors.
TOLERANCES = {"highest": 5e-5, "default": 2e-2}


def run(kind: str, size: list[int], contender: str) -> Iterator[Row]:
    """Yields a row for each precision of products; of a peer, for its default."""
    problem = Problem(kind, *size)
    try:
        errors = of_ours(problem, contender) if contender in OURS else of_peer(problem, contender)
    except Exception as error:  # of any library: it is reported
        yield refusal(error)
        return
    for precision, error in errors.items():
        yield {"precision": precision, **judge(error, TOLERANCES[precision])}


def judge(error: float | None, tolerance: float) -> Row:
    """Returns the end of a row: whether an error, of `greatest_error`, is small enough."""
    row = {"error": error, "tolerance": tolerance}
    if error is None:
        return {**row, "status": FAILED, "reason": "a value is no number"}
    if error <= tolerance:
        return {**row, "status": MEASURED}
    return {
        **row,
        "status": FAILED,
        "reason": f"off by {error:.1e}, of which {tolerance:.0e} is allowed",
    }


def of_ours(problem: Problem, implementation: str) -> dict[str, float | None]:
    """Returns the greatest errors of values and gradients, by precision."""
    arguments, expected = draw_arguments(problem), reference(problem)

    def error(precision: str) -> float | None:
        # Of this thread. What cuDNN's LSTM calls default is None, JAX's "default" it refuses.
        with jax.default_matmul_precision(None if precision == "default" else precision):
            found = jax.jit(both_ways(problem, implementation))(*arguments)
        return greatest_error(found, expected)

    with ThreadPoolExecutor(len(TOLERANCES)) as pool:  # which compile at the same time
        return dict(zip(TOLERANCES, pool.map(error, TOLERANCES), strict=True))


def both_ways(problem: Problem, implementation: str, **fields: Any) -> Callable[..., Any]:
    """Returns a function of params, carry and inputs: forwards, and backwards with lengths.

    Of both, the outputs `[B, T, H]`, the last carry, and the gradients of all arguments.
    """
    cell, _ = ours(problem, implementation, **fields)  # pyright: ignore[reportArgumentType]
    lengths = np.arange(problem.batch, dtype=np.int32) % (problem.time + 1)
    run: Any = nn.apply(unroll, cell)  # pyright: ignore[reportArgumentType]

    def loss(options: Any, params: Any, carry: Any, inputs: jax.Array) -> tuple[jax.Array, Any]:
        unrolled = run(
            {"params": params},
            inputs,
            initial_carry=carry,
            implementation=implementation,
            **options,
        )
        leaves = jax.tree.leaves(unrolled)
        return sum((jnp.sin(leaf).sum() for leaf in leaves), jnp.zeros((), inputs.dtype)), unrolled

    def values(*arguments: Any) -> list[Any]:
        return [
            jax.grad(functools.partial(loss, options), (0, 1, 2), has_aux=True)(*arguments)
            for options in ({}, {"reverse": True, "lengths": lengths})
        ]

    return values


def draw_arguments(problem: Problem) -> tuple[Any, Any, np.ndarray]:
    """Returns params, a carry and inputs, float32 of NumPy."""
    params, inputs = draw_params(problem)["network"], problem.inputs()
    cell: Any = ours(problem, "scan")[0]
    carry = jax.eval_shape(
        lambda: cell.initialize_carry(jax.random.key(0), (problem.batch, problem.features))
    )
    random = np.random.default_rng(3)
    carry = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape, np.float32), carry)
    return params, carry, inputs


@functools.lru_cache(maxsize=1)
def reference(problem: Problem) -> Any:
    """Returns values and gradients by the scan in float64 on the CPU."""
    with on_cpu(), jax.enable_x64(True):
        doubles = jax.tree.map(_double, draw_arguments(problem))
        function = both_ways(problem, "scan", param_dtype=jnp.float64)
        return jax.device_get(jax.jit(function)(*doubles))


def of_peer(problem: Problem, name: str) -> dict[str, float | None]:
    """Returns the greatest error of the logits."""
    program = build(name, problem)
    return {"default": greatest_error(fetch(program), reference_logits(problem))}


def fetch(program: Any) -> np.ndarray:
    """Returns the logits of a program, of JAX or of torch."""
    found = program.runs["forward"]()
    return np.asarray(found if isinstance(found, jax.Array) else found.float().cpu(), np.float64)


@functools.lru_cache(maxsize=1)
def reference_logits(problem: Problem) -> np.ndarray:
    """Returns the logits of our network in float64 on the CPU."""
    with on_cpu(), jax.enable_x64(True):
        doubles = jax.tree.map(_double, (draw_params(problem), problem.inputs()))
        _, last_hidden = ours(problem, "scan", param_dtype=jnp.float64)
        return jax.device_get(jax.jit(functools.partial(logits, last_hidden))(*doubles))


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


def greatest_error(actual: Any, expected: Any) -> float | None:
    """Returns how far any array is off, of its greatest value; None if a value is no number."""

    def error(a: Any, b: Any) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))

    errors = jax.tree.leaves(jax.tree.map(error, actual, expected))
    return max(errors) if np.isfinite(errors).all() else None
