"""The cell found by neural architecture search.

Zoph & Le, "Neural architecture search with reinforcement learning", 2017.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells.linear import Dense
from rnnjax.cells.lstm import project
from rnnjax.cells.projected import ProjectedCell
from rnnjax.cells.types import Value


class NASCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class NASParams(NamedTuple):
    kernel: jax.Array  # [F, 8H], of x
    recurrent_kernel: jax.Array  # [P, 8H], of h
    bias: jax.Array | None = None  # [8H]
    projection: jax.Array | None = None  # [H, P]


class NASProducts(NamedTuple):
    """Apart, since not all of them are added up; of each eight gates `[..., H]`."""

    of_inputs: Value
    of_hidden: Value


class NASCell(ProjectedCell):
    r"""TF1's `NASCell`, the paper's base 8.

    .. code-block:: text

      a_0, ..., a_7 = x W
      b_0, ..., b_7 = h U + b;     s_k = a_k + b_k
      l_0 = tanh(sigmoid(s_0) * relu(s_1))
      l_1 = tanh(sigmoid(s_2) + relu(a_3 * b_3))
      l_2 = tanh(tanh(s_4) * sigmoid(s_5))
      l_3 = sigmoid(tanh(s_6) + sigmoid(s_7))
      c' = tanh(l_0 + c) * l_1
      h' = tanh(c' * tanh(l_2 + l_3))
      h' = h' W_p                                      (projection)

    TF1 adds the bias to the product with h; because of a_3 * b_3 that is not the same as to that
    with x. No bias is its default, too. TF1 calls h m. Parameters: kernel `[F, 8H]`,
    recurrent_kernel `[P, 8H]`, bias `[8H]`, projection `[H, P]`.

    Source: Zoph & Le, 2017.

    Attributes (more in `ProjectedCell`):
      use_bias: add a bias to the product with h.
    """

    use_bias: bool = False

    carry_type = NASCarry
    pointwise_params = ("projection",)
    source = "Zoph & Le, 2017"

    @nn.compact
    def parameters(self, num_inputs: int) -> NASParams:
        units, outputs, init = self.features, self.output_size, self.kernel_init
        return NASParams(
            kernel=self.weight("kernel", init, num_inputs, 8 * units),
            recurrent_kernel=self.weight("recurrent_kernel", init, outputs, 8 * units),
            bias=self.weight("bias", self.bias_init, 8 * units) if self.use_bias else None,
            projection=self.projection(),
        )

    @nn.nowrap
    def products(self, params: NASParams) -> NASProducts:
        gates = tuple(map(str, range(8)))
        return NASProducts(
            of_inputs=Dense(("inputs",), params.kernel, gates=gates),
            of_hidden=Dense(("hidden",), params.recurrent_kernel, params.bias, gates),
        )

    @nn.nowrap
    def pointwise(
        self, params: NASParams, carry: NASCarry, products: NASProducts
    ) -> tuple[NASCarry, jax.Array]:
        sigmoid, tanh, relu = jax.nn.sigmoid, jnp.tanh, jax.nn.relu
        s_0, s_1, s_2, _, s_4, s_5, s_6, s_7 = map(jnp.add, *products)
        a_3, b_3 = products.of_inputs[3], products.of_hidden[3]
        l_0 = tanh(sigmoid(s_0) * relu(s_1))
        l_1 = tanh(sigmoid(s_2) + relu(a_3 * b_3))
        l_2 = tanh(tanh(s_4) * sigmoid(s_5))
        l_3 = sigmoid(tanh(s_6) + sigmoid(s_7))
        cell = tanh(l_0 + carry.cell) * l_1
        hidden = tanh(cell * tanh(l_2 + l_3))
        hidden = project(hidden, self.cast(params.projection))
        return NASCarry(cell, hidden), hidden
