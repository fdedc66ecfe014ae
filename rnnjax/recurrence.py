"""A recurrence of products and pointwise arithmetic, and its derivative.

JAX's own derivative of a `scan` adds up the gradient of each weight in the loop, a product and a
pass over the whole matrix a step, and keeps more than it needs of every gate. Here the products
with weights take the derivative of all of time at once, in one product after the loop (Appleyard
et al., "Optimizing performance of recurrent neural networks on GPUs", 2016), and of a step is kept
what its transcendental functions returned: everything else is cheap to compute again.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.module import _global_interceptor_stack

from rnnjax import dependence, gpu
from rnnjax.cells.base import Cell
from rnnjax.cells.dropout import DropoutCell

# params, state, input of the step -> products
Products = Callable[[Any, Any, jax.Array], Any]
# state, whether the step counts, products -> new state, what is kept of the step
Pointwise = Callable[[Any, jax.Array | None, Any], tuple[Any, Any]]
# state, whether the step counts, new carry, output -> new state, what is kept of the step
Advance = Callable[[Any, jax.Array | None, Any, jax.Array], tuple[Any, Any]]

# What is dear to compute again; a choice of speed alone.
TRANSCENDENTAL = ("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "sin", "cos")

# Whose gradient may be another function than a derivative, and no linear one; which has none.
UNFIT = {"custom_vjp_call", "while"}


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def recur(
    products: Products,
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    params: Any,
    state: Any,
    inputs: jax.Array,
    valid: jax.Array | None,
) -> tuple[Any, Any]:
    """Runs `pointwise(state, valid, products(params, state, x))` over all of time.

    Its values and derivatives, of any order and in either mode, are those of the `jax.lax.scan` it
    stands for; in bfloat16, the gradient of a weight is rounded once more, after the sum over time.
    Both functions are pure and close over no traced array (`run_split` sees to that).

    Args:
      products: affine in state and input together, and row by row.
      pointwise: the rest of the step.
      reverse: go from the last step to the first.
      unroll_factor: steps in one iteration of the compiled loop.
      params: a tree of weights.
      state: before the first step, leaves `[B, ...]`, floating.
      inputs: `[T, B, F]`.
      valid: `[T, B]`, passed on to `pointwise`; or None.

    Returns:
      The state after the last step, and what was kept of all steps, leaves `[T, ...]`.
    """

    def step(state: Any, now: tuple[jax.Array, jax.Array | None]) -> tuple[Any, Any]:
        x, valid = now
        return pointwise(state, valid, products(params, state, x))

    return jax.lax.scan(step, state, (inputs, valid), reverse=reverse, unroll=unroll_factor)


@recur.defjvp
def _differentiate(
    products: Products,
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
) -> tuple[Any, Any]:
    """Written forwards; JAX transposes it, which turns the big product into that of the weights."""
    params, state, inputs, valid = primals
    params_dot, state_dot, inputs_dot, _ = tangents

    def forward(state: Any, now: tuple[jax.Array, jax.Array | None]) -> tuple[Any, Any]:
        x, valid = now
        finish = jax.checkpoint(
            lambda state, found: pointwise(state, valid, found),
            policy=lambda primitive, *_, **__: primitive.name in TRANSCENDENTAL,
            prevent_cse=False,
        )
        (new_state, kept), pull_back = jax.vjp(finish, state, products(params, state, x))
        return new_state, (kept, state, pull_back)

    steps = (inputs, valid)
    final, found = jax.lax.scan(forward, state, steps, reverse=reverse, unroll=unroll_factor)
    # A state that the derivative reads comes twice, and XLA would keep both.
    first = jax.tree.map(lambda leaf: leaf[0], steps)
    same = dependence.first_alike(lambda *arguments: forward(*arguments)[1], state, first)
    leaves, structure = jax.tree.flatten(found)
    kept, states, pull_backs = structure.unflatten([leaves[n] for n in same])

    # By what weights and inputs change, the products of all steps change by:
    def flat(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

    rows = jax.tree.map(flat, states)
    _, found_dot = jax.jvp(
        lambda params, inputs: products(params, rows, flat(inputs)),
        (params, inputs),
        (params_dot, inputs_dot),
    )
    found_dot = jax.tree.map(
        lambda leaf: leaf.reshape(*inputs.shape[:2], *leaf.shape[1:]), found_dot
    )
    nowhere, nothing = jax.tree.map(jnp.zeros_like, state), jnp.zeros_like(inputs[0])
    result = (final, jax.tree.map(lambda leaf: leaf[0], kept))

    # The same at each step, so that what it makes of the weights is made once.
    _, by_state = jax.linearize(lambda state: products(params, state, nothing), nowhere)

    # What it would otherwise keep of a step are the slopes of all gates.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def change(state_dot: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
        found_dot, pull_back = now
        found_dot = jax.tree.map(jnp.add, found_dot, by_state(state_dot))
        ((state_dot, kept_dot),) = jax.linear_transpose(pull_back, result)((state_dot, found_dot))
        return state_dot, kept_dot

    final_dot, kept_dot = jax.lax.scan(
        change, state_dot, (found_dot, pull_backs), reverse=reverse, unroll=unroll_factor
    )
    return (final, kept), (final_dot, kept_dot)


def split_cell(cell: nn.RNNCellBase) -> Cell | None:
    """Returns the cell itself, without wrappers that do nothing, if its step can be split."""
    if _global_interceptor_stack:  # of flax: they are to see every call
        return None
    settings: Any = jax.config
    if settings.jax_disable_jit:  # a scan is a Python loop then, each step with a derivative of its
        return None  # own, which cannot be stacked
    while type(cell) is DropoutCell and cell.is_idle:
        cell = cell.inner
    return cell if isinstance(cell, Cell) and cell.is_split else None


def run_split(
    cell: Cell,
    advance: Advance,
    state: Any,
    inputs: jax.Array,
    valid: jax.Array | None,
    reverse: bool,
    unroll_factor: int,
) -> tuple[Any, Any] | None:
    """Runs a cell by `recur`, where that can be.

    Args:
      cell: bound to its parameters, as `split_cell` returns it.
      advance: see there.
      state: has the cell's carry in a field `carry`.
      inputs: see `recur`.
      valid: see `recur`.
      reverse: see `recur`.
      unroll_factor: see `recur`.

    Returns:
      What `recur` does; None where that cannot be: if the arithmetic after the products has
      parameters of its own, whose gradient a loop has to add up anyway, or a derivative given by
      `jax.custom_vjp`; if the products are not affine in state and inputs together, or mix rows;
      if one of them needs more than its arguments; if state or products are not floating rows of
      the batch; if parameters are drawn at random; or if an array is explicitly sharded.
    """
    scope: Any = cell.scope
    before = dict(scope.rng_counters)
    params = cell.cast_parameters(state.carry, inputs[0])
    if any(n != before[name] for name, n in scope.rng_counters.items() if name != "params"):
        return None  # drawn at random, which the scan does anew at each step
    pure, dtype = cell.copy(parent=None, name=None), jax.tree.leaves(params)[0].dtype

    def products(params: Any, state: Any, x: jax.Array) -> Any:
        return pure.products(params, state.carry, x)

    def finish(params: Any, state: Any, valid: jax.Array | None, found: Any) -> tuple[Any, Any]:
        carry, outputs = pure.pointwise(params, state.carry, found)
        return advance(state, valid, carry, outputs.astype(dtype))

    def change(params: Any, moving: Any, moving_dot: Any) -> Any:
        return jax.jvp(lambda moving: products(params, *moving), (moving,), (moving_dot,))[1]

    moving, first = (state, inputs[0]), None if valid is None else valid[0]
    arrays = jax.tree.leaves((params, state, inputs))
    if any(axis is not None for leaf in arrays for axis in jax.typeof(leaf).sharding.spec):
        return None  # explicitly sharded: all of time as rows would need another layout
    if any(leaf.shape[:1] != inputs.shape[1:2] for leaf in jax.tree.leaves(state)):
        return None  # no row of a batch
    try:
        unread = jax.tree.map(lambda p: np.broadcast_to(np.zeros((), p.dtype), p.shape), params)
        pointwise = functools.partial(finish, unread)
        found = jax.eval_shape(products, params, *moving)
        jax.eval_shape(pointwise, state, first, found)
        if any(not jnp.issubdtype(a.dtype, jnp.floating) for a in jax.tree.leaves((state, found))):
            return None
        arithmetic = jax.make_jaxpr(finish)(params, state, first, found)
        slope = jax.make_jaxpr(change)(params, moving, moving)
        of_rows = dependence.trace_rows(products, params, *moving)
    except Exception:
        # Of the cell itself it may work: a copy has no random streams and no modules of its own.
        return None
    if (
        any(map(dependence.closes_over_traced, (arithmetic, slope)))
        or dependence.needs(arithmetic, params, state, first, found)[0]
        or dependence.needs(slope, params, moving, moving)[1]
        or dependence.mixes_rows(of_rows)
        or not UNFIT.isdisjoint(dependence.primitives(arithmetic.jaxpr))
        or arithmetic.effects
    ):
        return None
    if gpu.faster(cell, (params, state, inputs)) == "fused":
        from rnnjax.gpu.fused import recur_fused

        run = recur_fused(products, pointwise, reverse, params, state, inputs, valid)
        if run is not None:
            return run
    return recur(products, pointwise, reverse, unroll_factor, params, state, inputs, valid)
