"""A cell of a user's own, which tests copy to where such files are."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import rnnjax


class LeakyCarry(NamedTuple):
    hidden: jax.Array


class LeakyParams(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


class LeakyCell(rnnjax.Cell):
    """A leaky unit.

    h' = leak * h + (1 - leak) * tanh([x, h] W + b)
    """

    leak: float = 0.5
    carry_type = LeakyCarry
    source = "nobody"

    @nn.compact
    def parameters(self, num_inputs):
        kernel = self.weight("kernel", self.kernel_init, num_inputs + self.features, self.features)
        return LeakyParams(kernel, self.weight("bias", self.bias_init, self.features))

    @nn.nowrap
    def pointwise(self, params, carry, products):
        hidden = self.leak * carry.hidden + (1 - self.leak) * jnp.tanh(products)
        return LeakyCarry(hidden), hidden
