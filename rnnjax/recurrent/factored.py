"""Which cells `deferred` can run: told by tracing them, before anything is computed."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.module import _global_interceptor_stack

from rnnjax.cells.base import Cell
from rnnjax.cells.wrappers.dropout import DropoutCell
from rnnjax.recurrent import dependence, gpu
from rnnjax.recurrent.deferred import recur

# state, whether the step counts, new carry, output -> new state, what is kept of the step
Advance = Callable[[Any, jax.Array | None, Any, jax.Array], tuple[Any, Any]]

# Whose gradient may be another function than a derivative, and no linear one; which has none.
UNFIT = {"custom_vjp_call", "while"}


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
    counters = {} if cell.scope is None else cell.scope.rng_counters
    before = dict(counters)
    params = cell.cast_parameters(state.carry, inputs[0])
    if any(counters[name] != count for name, count in before.items() if name != "params"):
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
        from rnnjax.recurrent.gpu.fused import recur_fused

        run = recur_fused(products, pointwise, reverse, params, state, inputs, valid)
        if run is not None:
            return run
    return recur(products, pointwise, reverse, unroll_factor, params, state, inputs, valid)
