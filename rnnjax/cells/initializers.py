"""Initializers that flax has not."""

import math

import jax
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray


def diagonal_init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Glorot uniform as TF1 applies it to a vector: as many inputs as outputs, both its length."""
    limit = math.sqrt(3 / shape[-1])
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def by_block(init: Initializer) -> Initializer:
    """Draws each block of a block-diagonal kernel `[N, rows, gates, H / N]` as a matrix."""

    def init_blocks(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        blocks, rows, gates, columns = shape
        keys = jax.random.split(key, blocks)
        return jax.vmap(lambda key: init(key, (rows, gates * columns), dtype))(keys).reshape(shape)

    return init_blocks
