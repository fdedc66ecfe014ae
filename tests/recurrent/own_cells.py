"""Cells as a user may write them, most of which `unroll` has to scan step by step."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutCell, GRUCell, LSTMCell
from rnnjax.cells.linear import Dense, Inputs
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
    def products(self, params: Any) -> Any:
        return Dense(("inputs", "state"), params.kernel, params.bias)

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        state = (1 - self.leak) * carry.state + self.leak * jnp.tanh(products)
        return Carry(state), 3 * state


class Multiplicative(Leaky):
    """Affine in the inputs and in the state, but not in both together (Wu et al., 2016)."""

    @nn.nowrap
    def step(self, params: Any, carry: Any, inputs: jax.Array) -> Any:
        kernel_x, kernel_h = jnp.split(params.kernel, [inputs.shape[-1]])
        product = (inputs @ kernel_x) * (carry.state @ kernel_h) + params.bias
        return self.pointwise(params, carry, product)


class Centred(Leaky):
    """Subtracts the mean of the batch."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products - products.mean(0))


class Shared(Leaky):
    """Each example divided by how many there are."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products / products.shape[0])


class Placed(Leaky):
    """Each example moved by its place in the batch."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        place = jnp.arange(products.shape[0], dtype=products.dtype)[:, None]
        return super().pointwise(params, carry, products + place)


class Turned(Leaky):
    """The last example first."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products[::-1])


class OfThree(Leaky):
    """Works for three examples only."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products * jnp.array([[1.0], [2.0], [3.0]]))


class Computed(Leaky):
    """Does not declare its product, but computes one."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        return params.kernel @ params.bias[:, None]


class OfExamples(Leaky):
    """Its bias is another for each of three examples."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        bias = jnp.arange(3, dtype=params.bias.dtype)[:, None] + params.bias
        return Dense(("inputs", "state"), params.kernel, bias)


class Misnamed(Leaky):
    """Its product is of a field that the carry has not."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        return Dense(("inputs", "hidden"), params.kernel, params.bias)


class Undeclared(Leaky):
    """Its arithmetic reads a parameter that it has not declared to read."""

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products * jax.nn.sigmoid(params.bias))


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


class RoundedProducts(NamedTuple):
    product: Any
    latest: Any


class Rounded(Leaky):
    """Its arithmetic reads whole numbers, made of the inputs."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        return RoundedProducts(super().products(params), Inputs(stop=1))

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        sign = jnp.where(products.latest > 0, 1, -1).astype(products.product.dtype)
        return super().pointwise(params, carry, sign * products.product)


class Decaying(Leaky):
    """Its arithmetic has a parameter of its own."""

    pointwise_params = ("bias",)

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        return super().pointwise(params, carry, products * jax.nn.sigmoid(params.bias))


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
