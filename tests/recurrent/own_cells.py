"""Cells as a user may write them, most of which `unroll` has to scan step by step."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutCell, GRUCell, LSTMCell
from rnnjax.recurrent.stack import Stack


class Carry(NamedTuple):
    state: jax.Array


class Params(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


class Leaky(Cell):
    """A cell of a user's own, whose output is no part of its carry."""

    leak: Any = 0.3
    carry_type = Carry
    source = "Jaeger, 2001"

    @nn.compact
    def parameters(self, num_inputs: int) -> Params:
        return Params(
            self.weight("kernel", self.kernel_init, num_inputs + self.features, self.features),
            self.weight("bias", self.bias_init, self.features),
        )

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return jnp.concatenate([inputs, carry.state], -1) @ params.kernel + params.bias

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        state = (1 - self.leak) * carry.state + self.leak * jnp.tanh(products)
        return Carry(state), 3 * state


class Multiplicative(Leaky):
    """Affine in the inputs and in the state, but not in both together (Wu et al., 2016)."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        kernel_x, kernel_h = jnp.split(params.kernel, [inputs.shape[-1]])
        return (inputs @ kernel_x) * (carry.state @ kernel_h) + params.bias


class Centred(Leaky):
    """Subtracts the mean of the batch."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        found = super().products(params, carry, inputs)
        return found - found.mean(0)


class Shared(Leaky):
    """Each example divided by how many there are."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return super().products(params, carry, inputs) / inputs.shape[0]


class Placed(Leaky):
    """Each example moved by its place in the batch."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        found = super().products(params, carry, inputs)
        return found + params.bias * jnp.arange(found.shape[0], dtype=found.dtype)[:, None]


class Turned(Leaky):
    """The last example first."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return super().products(params, carry, inputs)[::-1]


class OfThree(Leaky):
    """Works for three examples only."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return super().products(params, carry, inputs) * jnp.array([[1.0], [2.0], [3.0]])


@jax.custom_vjp
def penalised(x: jax.Array) -> jax.Array:
    """The identity, whose gradient has something added and is clipped."""
    return x


penalised.defvjp(
    lambda x: (x, x), lambda x, slope: (jnp.clip(slope + 0.1 * jnp.sign(x), -0.5, 0.5),)
)


class Penalised(Leaky):
    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, jax.jit(penalised)(products))


class Rounded(Leaky):
    """One of its products is of whole numbers."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return super().products(params, carry, inputs), inputs[:, :1] > 0

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        found, positive = products
        return super().pointwise(params, carry, jnp.where(positive, found, -found))


class Decaying(Leaky):
    """One of its products is a parameter alone, the same for all examples."""

    @nn.nowrap
    def products(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        return super().products(params, carry, inputs), params.bias

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        found, decay = products
        return super().pointwise(params, carry, found * jax.nn.sigmoid(decay))


class Settling(Leaky):
    """Its arithmetic is a loop that ends when the numbers say so."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        settled = jax.lax.while_loop(
            lambda x: jnp.abs(x).max() > 0.5, lambda x: x / 2, jnp.tanh(products)
        )
        return super().pointwise(params, carry, settled)


class WeightNoise(Leaky):
    """Moves its weights at random at each step."""

    @nn.compact
    def parameters(self, num_inputs: int) -> Params:
        params = super().parameters(num_inputs)
        noise = jax.random.normal(self.make_rng("noise"), params.bias.shape)
        return params._replace(bias=params.bias + noise)


class Noisy(Leaky):
    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        noise = jax.random.normal(self.make_rng("noise"), products.shape, products.dtype)
        return super().pointwise(params, carry, products + noise)


class WithModule(Leaky):
    def setup(self) -> None:
        self.dense = nn.Dense(self.features, param_dtype=self.param_dtype)

    @nn.nowrap
    def parameters(self, num_inputs: int) -> Params:
        rows = num_inputs + self.features
        return Params(jnp.ones((rows, self.features)), jnp.zeros(self.features))

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, self.dense(products))


class DoublingLSTM(LSTMCell):
    def __call__(self, carry: Any, inputs: jax.Array) -> Any:
        carry, outputs = super().__call__(carry, inputs)
        return carry, 2 * outputs


class DoublingGRU(GRUCell):
    @nn.nowrap
    def step(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        carry, outputs = super().step(params, carry, inputs)
        return carry, 2 * outputs


class DoublingStack(Stack):
    def __call__(self, carry: Any, inputs: jax.Array) -> Any:
        carry, outputs = super().__call__(carry, inputs)
        return carry, 2 * outputs


class DoublingDropout(DropoutCell):
    def __call__(self, carry: Any, inputs: jax.Array) -> Any:
        carry, outputs = super().__call__(carry, inputs)
        return carry, 2 * outputs
