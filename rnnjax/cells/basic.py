"""The simple recurrent network (Elman, "Finding structure in time", 1990)."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base


class BasicRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class BasicRNNParams(NamedTuple):
    kernel: jax.Array  # [F + H, H], of [x, h]
    bias: jax.Array  # [H]


class BasicRNNCell(base.Cell):
    """TF1's `BasicRNNCell`: `h' = activation(x W + h U + b)`, and h' is the output.

    Parameters: kernel `[F + H, H]` (W above U, as in TF1), bias `[H]`.

    Without gates its gradient vanishes or explodes over hundreds of steps, whichever way the
    largest eigenvalue of U falls (Pascanu et al., 2013): clip it, or start U orthogonal.

    Source: Elman, 1990.

    Attributes (more in `Cell`):
      activation: of the new state.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh

    carry_type = BasicRNNCarry
    source = "Elman, 1990"

    @nn.compact
    def parameters(self, num_inputs: int) -> BasicRNNParams:
        rows, units = num_inputs + self.features, self.features
        return BasicRNNParams(
            kernel=self.weight("kernel", self.kernel_init, rows, units),
            bias=self.weight("bias", self.bias_init, units),
        )

    @nn.nowrap
    def pointwise(
        self, params: BasicRNNParams, carry: BasicRNNCarry, products: jax.Array
    ) -> tuple[BasicRNNCarry, jax.Array]:
        del params, carry
        hidden = self.activation(products)
        return BasicRNNCarry(hidden), hidden
