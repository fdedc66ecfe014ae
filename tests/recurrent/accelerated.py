"""What the tests of `recurrent.gpu` run: cells, ways to unroll them, a stand-in for cuDNN."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn

from rnnjax.cells import GLSTMCell, GRUCell, LSTMCell, UGRNNCell
from rnnjax.cells.linear import Convolution, Dense, Sum
from rnnjax.recurrent.unroll import unroll
from tests.cases import jit_unoptimized
from tests.recurrent.own_cells import Leaky

BATCH, STEPS, FEATURES = 32, 5, 4
LENGTHS = np.arange(BATCH, dtype=np.int32) % (STEPS + 1)
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"reverse": True, "return_carry": "all"},
    {"lengths": LENGTHS},
    {"lengths": LENGTHS, "reverse": True, "return_outputs": "last"},
)


class TwoProducts(Leaky):
    """Declares its product as a sum of two, one of which reads no state."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        of_inputs, of_state = params.kernel[: -self.features], params.kernel[-self.features :]
        return Sum((Dense(("inputs",), of_inputs, params.bias), Dense(("state",), of_state)))


# 128 units are worked on in two blocks, 16 in one.
CELLS: dict[str, Callable[[], nn.RNNCellBase]] = {
    "lstm": lambda: LSTMCell(128),
    "gru": lambda: GRUCell(16, reset_after=True),
    "ugrnn": lambda: UGRNNCell(16),
    "glstm": lambda: GLSTMCell(16, num_groups=2),
    "sum": lambda: TwoProducts(16),
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


class Weighted(Leaky):
    """Its arithmetic has an array of its own."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products * np.linspace(0, 1, 16, dtype=np.float32))


class Wide(Leaky):
    """Its output is wider than its state."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        carry, output = super().pointwise(params, carry, products)
        return carry, jnp.concatenate([output, output], axis=-1)


@jax.custom_jvp
def _centred(x: jax.Array) -> jax.Array:
    """The identity, with another derivative."""
    return 1 * x


@_centred.defjvp
def _centre(primals: Any, tangents: Any) -> Any:
    (x,), (x_dot,) = primals, tangents
    return x, x_dot - x_dot.mean(-1, keepdims=True)


class MixedDerivative(Leaky):
    """Its arithmetic goes by element, but not its derivative."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, _centred(products))


class Convolved(Leaky):
    """Declares a convolution."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        return Convolution(("inputs", "state"), params.kernel, params.bias)


class OfInputs(Leaky):
    """Declares no product of the state."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        return Dense(("inputs",), params.kernel[: -self.features], params.bias)


class TwoStates(NamedTuple):
    state: jax.Array
    other: jax.Array


class OfTwoStates(Leaky):
    """Declares a product of two states."""

    carry_type = TwoStates

    @nn.nowrap
    def products(self, params: Any) -> Any:
        of_other = Dense(("other",), params.kernel[-self.features :])
        return Sum((super().products(params), of_other))

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        state = jnp.tanh(products)
        return TwoStates(state, carry.state), state


class ChainedProducts(NamedTuple):
    first: Any
    second: Any


class Chained(Leaky):
    """Declares a product of a product."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        second = Dense(("first",), params.kernel[-self.features :])
        return ChainedProducts(super().products(params), second)

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products.first + products.second)


class Halved(Leaky):
    """Its product is less wide than its state."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        product = super().products(params)
        half = self.features // 2
        return Dense(product.operands, product.kernel[:, :half], product.bias[:half])

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, jnp.concatenate([products, products], axis=-1))


# With what `unroll` says of them.
REFUSED: tuple[tuple[nn.RNNCellBase, str], ...] = (
    (LSTMCell(24), "power of two"),
    (LSTMCell(16, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16), "bfloat16"),
    (LSTMCell(16, dtype=jnp.bfloat16), "bfloat16, float32"),
    (Softmax(16), "not elementwise: reduce_max"),
    (MixedDerivative(16), "not elementwise: reduce_sum"),
    (Scaled(128), "depends on the number"),
    (Wide(16), "not elementwise: concatenate"),
    (Halved(16), "a gate of it, is not as wide"),
    (Convolved(16), "a product is a Convolution"),
    (OfInputs(16), "0 fields"),
    (OfTwoStates(16), "2 fields"),
    (Chained(16), "reads another, first"),
    (Weighted(16), "reads an array"),
)


def arguments_for(cell: nn.RNNCellBase, batch: int = BATCH) -> tuple[Any, Any, jax.Array]:
    """Returns variables, a carry and inputs."""
    inputs = jax.random.normal(jax.random.key(1), (batch, STEPS, FEATURES))
    carry = cell.initialize_carry(jax.random.key(0), (batch, FEATURES))
    carry = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(2), leaf.shape), carry)
    return jit_unoptimized(cell.init)(jax.random.key(0), carry, inputs[:, 0]), carry, inputs


def loss(
    cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **options: Any
) -> Any:
    unrolled = nn.apply(unroll, cell)(variables, inputs, initial_carry=carry, **options)
    return sum(jnp.sin(leaf + n).sum() for n, leaf in enumerate(jax.tree.leaves(unrolled)))


def value_and_gradients(cell: nn.RNNCellBase, **options: Any) -> Any:
    return jit_unoptimized(jax.value_and_grad(functools.partial(loss, cell, **options), (0, 1, 2)))


def second_derivatives(cell: nn.RNNCellBase, **options: Any) -> Any:
    """Returns the gradients, and how they change in one direction."""
    gradients: Any = jax.grad(functools.partial(loss, cell, **options), (0, 1, 2))
    return jit_unoptimized(lambda *a: jax.jvp(gradients, a, jax.tree.map(jnp.cos, a)))


def reference_forward(
    x: Any, h: Any, c: Any, weights: Any, lengths: Any, features: int, units: int, *others: Any
) -> Any:
    """JAX's own stand-in for cuDNN, with the interface of `jax.experimental.rnn.lstm_fwd`."""
    assert others == (1, 0.0, False, None)  # layers, dropout, both directions, precision
    unpacked = rnn.unpack_lstm_weights(weights, features, units, 1, False)
    results = rnn.lstm_ref(x, h, c, *unpacked, lengths, features, units, 1, 0.0, False)
    return results, (x, h, c, weights, lengths, results[0], jnp.zeros(7))


def reference_backward(*arguments: Any) -> Any:
    """The same for `jax.experimental.rnn.lstm_bwd`."""
    *sizes, residuals, cotangents = arguments
    *floating, lengths, _, reserve = residuals
    assert reserve.shape == (7,)

    def forward(x: Any, h: Any, c: Any, weights: Any) -> Any:
        return reference_forward(x, h, c, weights, lengths, *sizes)[0]

    _, pull_back = jax.vjp(forward, *floating)
    return (*pull_back(cotangents), jnp.zeros_like(lengths))
