"""Arithmetic block by block, as the kernels of a GPU do it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.recurrent.gpu.blocks import NotByBlocks, by_blocks


def test_arithmetic_by_blocks() -> None:
    def gates(state: jax.Array, valid: jax.Array, products: jax.Array) -> jax.Array:
        a, b, c = jnp.split(jax.nn.silu(products), 3, axis=-1)
        return jnp.where(valid[:, None], a * state + jax.nn.relu(b) * c, state)

    rng = np.random.default_rng(0)
    state, products = (jnp.asarray(rng.normal(size=(4, n)), jnp.float32) for n in (8, 24))
    valid = jnp.asarray([True, False, True, True])
    run = by_blocks(gates, 8, *map(jax.typeof, (state, valid, products)))
    [found] = run([state], valid, jnp.split(products, 3, axis=-1))
    np.testing.assert_allclose(found, gates(state, valid, products), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / x.sum(-1, keepdims=True),
        lambda x: x @ jnp.ones((8, 8)),
        lambda x: x[:, ::-1],
        lambda x: x + jnp.arange(8.0),
        lambda x: jnp.cumsum(x, 0),
    ],
    ids=["sum", "product", "reversed", "columns_apart", "sums_by_rows"],
)
def test_what_mixes_columns_is_refused(function: Any) -> None:
    with pytest.raises(NotByBlocks):
        by_blocks(function, 8, jax.ShapeDtypeStruct((4, 8), jnp.float32))
