"""What a cell puts out, from a step that is traced, not computed; and the last of its outputs."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from rnnjax.cells.types import Carry, Params
from rnnjax.recurrent.chunks import where
from rnnjax.recurrent.placement import place, placement_of


def output_struct(
    cell: nn.RNNCellBase, carry: Carry, input_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> jax.ShapeDtypeStruct:
    """Returns the shape and dtype of a cell's outputs, without computing them."""
    return jax.eval_shape(_step_of(cell, input_shape, dtype), *_structs(cell, carry))[1]


def bound_to(cell: nn.RNNCellBase) -> Any:
    """Returns the arrays that a cell reads of the module around it: parameters, random keys."""
    return (params_of(cell), None if cell.scope is None else cell.scope.rngs)


def params_of(cell: nn.RNNCellBase) -> Params:
    """Returns the parameters that a cell is bound to; none before they are made."""
    return {} if cell.scope is None else cell.variables.get("params", {})


def _structs(cell: nn.RNNCellBase, carry: Carry) -> tuple[Params, Carry]:
    """Returns shapes and dtypes, without where the arrays are."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)),
        (params_of(cell), carry),
    )


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
    jaxpr = jax.make_jaxpr(_step_of(cell, input_shape, dtype))(*_structs(cell, carry)).jaxpr
    *leaves, output = jaxpr.outvars
    return next((n for n, leaf in enumerate(leaves) if leaf is output), None)


def last_output(carry: Carry, source: int, valid: Array | None, nothing: Array) -> Array:
    """Returns the leaf of the last carry that is the last output, 0 for empty sequences."""
    outputs = jax.tree.leaves(carry)[source]
    return outputs if valid is None else where(valid.any(0), outputs, nothing)


def no_output(
    cell: nn.RNNCellBase, carry: Carry, inputs: Array, return_outputs: str
) -> tuple[Array | None, int | None]:
    """Returns the last output of no step at all, zeros, and which leaf of the carry an output is.

    Where only the last output is asked for, it travels with the carry, if it is not a part of it
    anyway: T of them would have to be stored, and their gradients, which are zero.
    """
    if return_outputs == "all":
        return None, None
    struct = output_struct(cell, carry, inputs.shape[1:], inputs.dtype)
    last = place(jnp.zeros(struct.shape, struct.dtype), 0, placement_of([(inputs, 1)]))
    return last, output_source(cell, carry, inputs.shape[1:], inputs.dtype)
