"""The simple recurrent unit (Lei et al., "Training RNNs as fast as CNNs", 2017)."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import Dense, align


class SRUCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c


class SRUParams(NamedTuple):
    kernel: jax.Array  # [F, 4H], of x; candidate, forget f, reset r, highway
    bias: jax.Array  # [2H], of f and r


class SRUCell(base.Cell):
    """TF1's `SRUCell`: no product with the state, so that all products wait for nothing.

    .. code-block:: text

      v, f, r, s = x W, with f, r = sigmoid([f, r] + b)
      c' = f * c + (1 - f) * v
      y  = r * activation(c') + (1 - r) * s

    The output y is no part of the carry. In the paper's first version the highway s is x itself
    where F = H; its later ones also let f and r see c through a diagonal. Parameters: kernel
    `[F, 4H]`, bias `[2H]` (f, r).

    Source: Lei et al., 2017.

    Attributes (more in `Cell`):
      activation: of the memory on its way out.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh

    carry_type = SRUCarry
    pointwise_params = ("bias",)
    source = "Lei et al., 2017"
    output_field = None

    @nn.compact
    def parameters(self, num_inputs: int) -> SRUParams:
        return SRUParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs, 4 * self.features),
            bias=self.weight("bias", self.bias_init, 2 * self.features),
        )

    @nn.nowrap
    def products(self, params: SRUParams) -> Dense:
        gates = ("candidate", "forget", "reset", "highway")
        return Dense(("inputs",), params.kernel, gates=gates)

    @nn.nowrap
    def pointwise(
        self, params: SRUParams, carry: SRUCarry, products: tuple[jax.Array, ...]
    ) -> tuple[SRUCarry, jax.Array]:
        (cell,) = carry
        candidate, forget, reset, highway = products
        bias = align(params.bias.astype(cell.dtype), cell)
        forget_bias, reset_bias = jnp.split(bias, 2, axis=-1)
        forget, reset = gate("forget", forget + forget_bias), gate("reset", reset + reset_bias)
        new_cell = forget * cell + (1 - forget) * candidate
        output = reset * self.activation(new_cell) + (1 - reset) * highway
        return SRUCarry(new_cell), output
