"""A recurrence as one kernel for the whole sequence, for any cell that is split.

On a GPU a scan launches a handful of small kernels a step, and a small network waits for them
longer than they run (Appleyard et al., "Optimizing performance of recurrent neural networks on
GPUs", 2016). Here a program of one kernel takes some examples through all of time. What reads no
state is computed before it, in one product for all of time; what the weights' gradient sums over
time, after it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.recurrent.dependence import needs
from rnnjax.recurrent.gpu.kernels import backward, forward
from rnnjax.recurrent.gpu.loop import ROWS, Loop, Trace, check_pieces
from rnnjax.recurrent.gpu.replace import accelerate, accelerate_transpose


def recur_fused(
    products: Any, pointwise: Any, reverse: bool, params: Any, state: Any, inputs: Any, valid: Any
) -> tuple[Any, Any] | None:
    """Does what `rnnjax.recurrent.deferred.recur` does, with its arguments, by one kernel.

    Returns:
      What `recur` does; None where the kernel does not apply: it takes float32 states `[B, H]`,
      H a power of two from 16 on and B a multiple of 16, products that read one of them, and
      arithmetic of elements.
    """
    leaves, structure = jax.tree.flatten(state)
    batch, units = leaves[0].shape[0], leaves[0].shape[-1]
    found = jax.eval_shape(products, params, state, inputs[0])
    every = [*leaves, *jax.tree.leaves(found)]
    if any(leaf.ndim != 2 or leaf.dtype != jnp.float32 for leaf in every) or inputs.ndim != 3:
        return None
    if any(leaf.shape[-1] != units for leaf in leaves):
        return None
    if units < ROWS or units & (units - 1) or batch % ROWS or 0 in inputs.shape:
        return None
    zeros = [jnp.zeros((units, units), leaf.dtype) for leaf in leaves]
    no_inputs = np.zeros((units, inputs.shape[-1]), inputs.dtype)  # no traced constant

    def of_state(params: Any, *leaves: Any) -> list[Any]:
        return jax.tree.leaves(products(params, structure.unflatten(leaves), no_inputs))

    reads = [
        needs(
            jax.make_jaxpr(lambda *given, n=n: of_state(*given)[n])(params, *zeros), params, *zeros
        )[1:]
        for n in range(len(jax.tree.leaves(found)))
    ]
    sources = [n for n in range(len(leaves)) if any(read[n] for read in reads)]
    if len(sources) != 1:
        return None
    loop = Loop(pointwise, reverse, sources[0])
    try:
        check_pieces(loop, state, found, valid)
    except Exception:
        # NotByBlocks, or whatever a cell of a user's own raises for columns of another number.
        return None

    # The weights of the state: what the products make of the rows of a unit matrix.
    unit = [jnp.eye(units, dtype=z.dtype) if n in sources else z for n, z in enumerate(zeros)]
    with jax.default_matmul_precision("highest"):  # or they would be rounded on the way
        slopes = jax.linearize(functools.partial(of_state, params), *zeros)[1](*unit)
    weights = [slope if any(read) else None for slope, read in zip(slopes, reads, strict=True)]

    # Of all of time, as far as no state is read: what is there without inputs, and their part.
    def of_rows(rows: jax.Array) -> Any:
        at_rest = [jnp.zeros((rows.shape[0], units), leaf.dtype) for leaf in leaves]
        return products(params, structure.unflatten(at_rest), rows)

    rows = inputs.reshape(-1, inputs.shape[-1])
    nothing = jnp.zeros_like(rows)
    _, moved = jax.jvp(of_rows, (nothing,), (rows,))
    of_inputs = jax.tree.map(
        lambda start, change: (start + change).reshape(*inputs.shape[:2], -1),
        of_rows(nothing[:1]),
        moved,
    )
    mask = None if valid is None else valid.astype(jnp.int32)
    return _run(loop, of_inputs, weights, state, mask)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(loop: Loop, of_inputs: Any, weights: Any, state: Any, valid: Any) -> tuple[Any, Any]:
    """Returns the last state and what is kept of all steps."""
    return _forward(loop, of_inputs, weights, state, valid)[:2]


@_run.defjvp
def _differentiate(loop: Loop, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    of_inputs, weights, state, valid = primals
    inputs_dot, weights_dot, state_dot, _ = tangents
    final, kept, states, products = _forward(loop, of_inputs, weights, state, valid)
    hidden = jax.tree.leaves(loop.before(states))[loop.source]
    products_dot = _add(inputs_dot, hidden, weights_dot)
    return (final, kept), accelerate_transpose(
        functools.partial(_change, loop),
        functools.partial(backward, loop),
        Trace(weights, valid, states, products),
        (products_dot, state_dot),
    )


def _forward(loop: Loop, *arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Returns the last state and, of all steps, what is kept, the states and the products."""
    return accelerate(functools.partial(_scan, loop), functools.partial(forward, loop), *arguments)


def _scan(loop: Loop, of_inputs: Any, weights: Any, state: Any, valid: Any) -> Any:
    """What the forward kernel equals."""

    def step(state: Any, now: Any) -> Any:
        of_inputs, valid = now
        products = _add(of_inputs, jax.tree.leaves(state)[loop.source], weights)
        new_state, kept = loop.pointwise(state, None if valid is None else valid > 0, products)
        return new_state, (kept, state, products)

    final, (kept, states, products) = jax.lax.scan(
        step, state, (of_inputs, valid), reverse=loop.reverse
    )

    def with_last(states: jax.Array, last: jax.Array) -> jax.Array:
        both = [states, last[None]]
        return jnp.concatenate(both[::-1] if loop.reverse else both)

    return final, kept, jax.tree.map(with_last, states, final), products


def _change(loop: Loop, trace: Trace, tangents: Any) -> tuple[Any, Any]:
    """How the last state and what is kept change with products and first state: to transpose."""

    def step(state_dot: Any, now: Any) -> tuple[Any, Any]:
        state, products, valid, products_dot = now
        hidden_dot = jax.tree.leaves(state_dot)[loop.source]
        mask = None if valid is None else valid > 0
        return jax.jvp(
            lambda state, products: loop.pointwise(state, mask, products),
            (state, products),
            (state_dot, _add(products_dot, hidden_dot, trace.weights)),
        )[1]

    products_dot, state_dot = tangents
    steps = (loop.before(trace.states), trace.products, trace.valid, products_dot)
    return jax.lax.scan(step, state_dot, steps, reverse=loop.reverse)


def _add(products: Any, hidden: jax.Array, weights: list[jax.Array | None]) -> Any:
    """Returns the products, each with what the hidden state adds to it."""
    leaves, structure = jax.tree.flatten(products)
    found = zip(leaves, weights, strict=True)
    return structure.unflatten([x if w is None else x + hidden @ w for x, w in found])
