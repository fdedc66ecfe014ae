"""What the tests of `recurrent.gpu` run: cells, ways to unroll them, a stand-in for cuDNN."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from rnnjax.cells import GLSTMCell, GRUCell, LSTMCell, UGRNNCell
from rnnjax.recurrent import gpu
from rnnjax.recurrent.unroll import unroll
from tests.cases import assert_close
from tests.recurrent.own_cells import Leaky

BATCH, STEPS, FEATURES = 32, 5, 4
LENGTHS = np.arange(BATCH, dtype=np.int32) % (STEPS + 1)
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"reverse": True, "return_carry": "all"},
    {"lengths": LENGTHS},
    {"lengths": LENGTHS, "reverse": True, "return_outputs": "last"},
)
# 128 units are worked on in two pieces, 16 in one.
CELLS: dict[str, Callable[[], nn.RNNCellBase]] = {
    "lstm": lambda: LSTMCell(128),
    "gru": lambda: GRUCell(16, reset_after=True),
    "ugrnn": lambda: UGRNNCell(16),
    "glstm": lambda: GLSTMCell(16, num_groups=2),
}


class Scaled(Leaky):
    """Its arithmetic depends on how many columns there are."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products / products.shape[-1] ** 0.5)


class Softmax(Leaky):
    """Its arithmetic reads all columns at once."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, jax.nn.softmax(products))


def given(cell: nn.RNNCellBase, batch: int = BATCH) -> tuple[Any, Any, jax.Array]:
    """Returns variables, a carry and inputs."""
    inputs = jax.random.normal(jax.random.key(1), (batch, STEPS, FEATURES))
    carry = cell.initialize_carry(jax.random.key(0), (batch, FEATURES))
    carry = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(2), leaf.shape), carry)
    return nn.init(unroll, cell)(jax.random.key(0), inputs), carry, inputs


def loss(cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **way: Any) -> Any:
    found = nn.apply(unroll, cell)(variables, inputs, initial_carry=carry, **way)
    return sum(jnp.sin(leaf + n).sum() for n, leaf in enumerate(jax.tree.leaves(found)))


def value_and_gradients(cell: nn.RNNCellBase, **way: Any) -> Any:
    # A new function each time: what is faster is no part of what JAX remembers functions by.
    return jax.jit(jax.value_and_grad(lambda *given: loss(cell, *given, **way), (0, 1, 2)))


def is_accelerated(cell: nn.RNNCellBase, *arguments: Any) -> bool:
    return "accelerated" in str(jax.make_jaxpr(functools.partial(loss, cell))(*arguments))


def check(monkeypatch: pytest.MonkeyPatch, kind: str, cell: nn.RNNCellBase, **way: Any) -> None:
    """Checks that a cell run in another way has the values and gradients of the scan."""
    arguments = given(cell)
    expected = value_and_gradients(cell, **way)(*arguments)
    monkeypatch.setitem(gpu.FASTER, type(cell), kind)
    function = value_and_gradients(cell, **way)
    assert "accelerated" in str(jax.make_jaxpr(function)(*arguments))
    assert_close(function(*arguments), expected, 1e-5)


def reference_forward(
    x: Any, h: Any, c: Any, weights: Any, lengths: Any, features: int, units: int, *others: Any
) -> Any:
    """JAX's own stand-in for cuDNN, with the interface of `jax.experimental.rnn.lstm_fwd`."""
    assert others == (1, 0.0, False, None)  # layers, dropout, both directions, precision
    unpacked = rnn.unpack_lstm_weights(weights, features, units, 1, False)
    found = rnn.lstm_ref(x, h, c, *unpacked, lengths, features, units, 1, 0.0, False)
    return found, (x, h, c, weights, lengths, found[0], jnp.zeros(7))


def reference_backward(*arguments: Any) -> Any:
    *sizes, kept, cotangents = arguments
    *moving, lengths, _, reserve = kept
    assert reserve.shape == (7,)

    def forward(x: Any, h: Any, c: Any, weights: Any) -> Any:
        return reference_forward(x, h, c, weights, lengths, *sizes)[0]

    _, pull_back = jax.vjp(forward, *moving)
    return (*pull_back(cotangents), jnp.zeros_like(lengths))
