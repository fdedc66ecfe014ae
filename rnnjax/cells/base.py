"""What the cells share: the contract and the arithmetic of a step.

A cell is a `flax.linen.RNNCellBase`, `new_carry, y = cell(carry, x)`, around a pure function
`<name>_step(params, carry, x)` that holds the maths. So it works in `flax.linen.RNN`, and flax's
own cells work in `rnnjax.unroll`. Carries are NamedTuples, and keep the dtype they came with.

Two dtypes: products are computed in the parameters' dtype as the step receives them (the module
casts them to `dtype`); pointwise arithmetic and the carry keep the carry's dtype, so that with
bfloat16 products a float32 memory still adds up small changes.
"""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

P = TypeVar("P")


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Returns `x @ kernel + bias`, in the kernel's dtype. x: `[..., F]`, kernel: `[F, H]`."""
    return x.astype(kernel.dtype) @ kernel + bias


def cast(params: P, dtype: DTypeLike | None) -> P:
    """Returns the parameters in the dtype of computation; None: as they are stored."""
    return params if dtype is None else jax.tree.map(lambda p: p.astype(dtype), params)


def zeros(input_shape: tuple[int, ...], features: int, dtype: DTypeLike) -> jax.Array:
    """Returns a zero state `[..., features]` for inputs of shape `[..., F]`."""
    return jnp.zeros((*input_shape[:-1], features), dtype)


def diagonal_init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    """Glorot uniform as TF1 applies it to a vector: as many inputs as outputs, both its length."""
    limit = math.sqrt(3 / shape[-1])
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def join(inputs: jax.Array, hidden: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns `[x, h]`, `[..., F + H]`, in the kernel's dtype: one product for both, as in TF1."""
    return jnp.concatenate([inputs.astype(kernel.dtype), hidden.astype(kernel.dtype)], axis=-1)


def check_positive(cell: Any, *names: str) -> None:
    """Raises a ValueError if one of these fields of a cell is set, but not above 0."""
    for name in names:
        value = getattr(cell, name)
        if value is not None and value <= 0:
            raise ValueError(f"{type(cell).__name__}: {name} must be above 0, got {value}")


def check_carry(cell: Any, carry: Any, carry_type: type) -> None:
    """Raises a ValueError if the carry is another cell's."""
    if not isinstance(carry, carry_type):
        raise ValueError(
            f"{type(cell).__name__}: carry must be a {carry_type.__name__}, got a "
            f"{type(carry).__name__}; {type(cell).__name__}.initialize_carry makes one"
        )
