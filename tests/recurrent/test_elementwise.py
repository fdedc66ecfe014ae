"""Which arithmetic a kernel may do block by block."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.recurrent.factored import UnavailableError
from rnnjax.recurrent.gpu.elementwise import check_elementwise

ROWS = jax.ShapeDtypeStruct((32,), jnp.bool)
ARRAY = jax.ShapeDtypeStruct((32, 128), jnp.float32)
BLOCK = (16, 64)


def test_arithmetic_by_element() -> None:
    def gates(state: jax.Array, valid: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        new_state = jax.nn.silu(a) * state + jax.checkpoint(jax.nn.relu)(b) / 3
        return jnp.where(valid[:, None], new_state, state)

    check_elementwise(gates, BLOCK, ARRAY, ROWS, ARRAY, ARRAY)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x / x.sum(-1, keepdims=True), "reduce_sum"),
        (lambda x: x @ jnp.ones((x.shape[1], x.shape[1])), "dot_general"),
        (lambda x: x[:, ::-1], "rev"),
        (lambda x: x.T.reshape(x.shape), "transpose"),
        (lambda x: x.reshape(2, -1).reshape(x.shape), "reshape"),
        (lambda x: x + jnp.arange(x.shape[1], dtype=x.dtype), "iota"),
        (lambda x: jnp.cumsum(x, 0), "cumsum"),
        (lambda x: x + x[:1], "slice"),
        (lambda x: jnp.where(x > 0, x, jax.lax.map(jnp.sin, x)), "scan"),
        (lambda x: x / x.shape[0], "number of rows"),
        (lambda x: x / x.shape[1], "number of rows or columns"),
        (lambda x: x + np.ones(x.shape[1], np.float32), "array"),
        (lambda x: x + jnp.ones(128), "128"),
        (lambda x: x.astype(bool)[:, 0], "slice"),
        (lambda x: jnp.zeros(()), "not as wide"),
    ],
)
def test_other_arithmetic_is_refused(function: Any, reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason):
        check_elementwise(function, BLOCK, ARRAY)
