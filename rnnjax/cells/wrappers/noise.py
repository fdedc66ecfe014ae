"""What all dropout shares."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells.types import KeyPath

# The random stream whose key is the same at each step: `unroll` does not split it over time.
VARIATIONAL = "variational_dropout"


def drop(key: jax.Array, x: jax.Array, keep_prob: float) -> jax.Array:
    """Sets entries to 0 and divides the others by the probability of keeping them."""
    mask = draw_mask(key, keep_prob, x)
    return jnp.where(mask, x / keep_prob, jnp.zeros_like(x))


def draw_mask(key: jax.Array, prob: float, like: jax.Array) -> jax.Array:
    """Returns true with a probability for each entry of an array, typed as it over devices."""
    return jax.random.bernoulli(key, prob, like.shape, out_sharding=jax.typeof(like).sharding)


def check_keep_prob(module: nn.Module, *names: str) -> None:
    """Raises a ValueError if one of these fields is no probability to keep something."""
    for name in names:
        value = getattr(module, name)
        if not 0 < value <= 1:
            raise ValueError(
                f"{type(module).__name__}: {name} must be above 0 and at most 1, got {value}"
            )


def name_of(path: KeyPath) -> str | None:
    """Returns the name of the field that holds a leaf of a cell's carry, if it has one."""
    name = getattr(path[-1], "name", None) if path else None
    return None if name == "inner" else name  # a wrapper's field, around a carry without names


def is_hidden(path: KeyPath, leaf: jax.Array) -> bool:
    """Whether a leaf of a carry is a hidden state: so named, or without a name, as flax's."""
    return name_of(path) in ("hidden", None) and jnp.issubdtype(leaf.dtype, jnp.floating)
