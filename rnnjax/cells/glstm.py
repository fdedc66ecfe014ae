"""LSTM in groups (Kuchaiev & Ginsburg, "Factorization tricks for LSTM networks", 2017)."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.initializers import by_block
from rnnjax.cells.linear import Grouped
from rnnjax.cells.lstm import LSTM_GATES, lstm_pointwise
from rnnjax.cells.projected import ProjectedCell


class GLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class GLSTMParams(NamedTuple):
    kernel: jax.Array  # [G, (F + P)/G, 4, H/G], of a group's [x, h]; i, j, f, o as in LSTMParams
    bias: jax.Array  # [4H]
    projection: jax.Array | None = None  # [H, P]


class GLSTMCell(ProjectedCell):
    r"""TF1's `GLSTMCell`: an LSTM for each group of units, on the group's part of x and h.

    .. code-block:: text

      i_g, j_g, f_g, o_g = [x_g, h_g] W_g + b_g        for each group g of G; F, H and P in G parts
      c' = sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)
      h' = sigmoid(o) * activation(c')
      h' = h' W_p                                      (projection)

    A group has weights of its own, in the paper and in TF1: 1/G of those of an `LSTMCell`, which
    this is with one group. Groups meet in the projection alone, which is not split. As in TF1,
    `activation` does not replace the candidate's tanh. TF1 keeps a kernel `[(F + P)/G, 4H/G]` a
    group and a bias a gate. Parameters: kernel `[G, (F + P)/G, 4, H/G]`, bias `[4H]` (all units of
    i, then those of j, f and o); projection `[H, P]`.

    Source: Kuchaiev & Ginsburg, 2017.

    Attributes (more in `ProjectedCell`):
      num_groups: groups G; it divides F, H and P.
      forget_bias: added to the forget gate.
      activation: of the output.
    """

    num_groups: int = 1
    forget_bias: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh

    carry_type = GLSTMCarry
    pointwise_params = ("projection",)
    source = "Kuchaiev & Ginsburg, 2017"

    @nn.nowrap
    def check(self) -> None:
        super().check()
        base.check_positive(self, "num_groups")
        self._check_divides("features", self.features)
        self._check_divides("projection_size", self.output_size)

    @nn.nowrap
    def _check_divides(self, name: str, size: int) -> None:
        if size % self.num_groups:
            raise ValueError(
                f"GLSTMCell: num_groups must divide {name}, got num_groups={self.num_groups} and "
                f"{name}={size}"
            )

    @nn.compact
    def parameters(self, num_inputs: int) -> GLSTMParams:
        self._check_divides("the input features", num_inputs)
        rows, units = num_inputs + self.output_size, self.features
        shape = self.num_groups, rows // self.num_groups, 4, units // self.num_groups
        return GLSTMParams(
            kernel=self.weight("kernel", by_block(self.kernel_init), *shape),
            bias=self.weight("bias", self.bias_init, 4 * units),
            projection=self.projection(),
        )

    @nn.nowrap
    def products(self, params: GLSTMParams) -> Grouped:
        return Grouped(("inputs", "hidden"), params.kernel, params.bias, LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self, params: GLSTMParams, carry: GLSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[GLSTMCarry, jax.Array]:
        new_carry = GLSTMCarry(
            *lstm_pointwise(
                carry,
                products,
                projection=self.cast(params.projection),
                forget_bias=self.forget_bias,
                activation=self.activation,
                candidate_activation=jnp.tanh,
            )
        )
        return new_carry, new_carry.hidden
