"""What a cell puts out, from a step that is traced, not computed."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.cells.types import Carry, Params


def output_struct(
    cell: nn.RNNCellBase, carry: Carry, input_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> jax.ShapeDtypeStruct:
    """Returns the shape and dtype of a cell's outputs, without computing them."""
    return jax.eval_shape(_step_of(cell, input_shape, dtype), _params_of(cell), carry)[1]


def _params_of(cell: nn.RNNCellBase) -> Params:
    return {} if cell.scope is None else cell.variables.get("params", {})


def _step_of(
    cell: nn.RNNCellBase, input_shape: tuple[int, ...], dtype: DTypeLike
) -> Callable[[Params, Carry], Any]:
    unbound = cell.copy(parent=None, name=None)
    keys = {"params": jax.random.key(0)}  # for all random streams

    def run(params: Params, carry: Carry) -> Any:
        x = jnp.zeros(input_shape, dtype)
        if params:
            return unbound.apply({"params": params}, carry, x, rngs=keys)
        return unbound.init_with_output(keys, carry, x)[0]

    return run


def output_source(
    cell: nn.RNNCellBase, carry: Carry, input_shape: tuple[int, ...], dtype: DTypeLike
) -> int | None:
    """Returns which leaf of its new carry a cell's output is; None: the output is no part of it."""
    jaxpr = jax.make_jaxpr(_step_of(cell, input_shape, dtype))(_params_of(cell), carry).jaxpr
    *leaves, output = jaxpr.outvars
    return next((n for n, leaf in enumerate(leaves) if leaf is output), None)
