"""The minimal GRU and LSTM (Feng et al., "Were RNNs all we needed?", 2024).

Their gates and candidates see the input alone, so that over time each is a first-order linear
recurrence.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import Dense


class MinGRUCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class MinGRUParams(NamedTuple):
    kernel: jax.Array  # [F, 2H], of x; update z, candidate
    bias: jax.Array  # [2H]


class MinLSTMCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class MinLSTMParams(NamedTuple):
    kernel: jax.Array  # [F, 3H], of x; forget f, input i, candidate
    bias: jax.Array  # [3H]


def positive_part(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """The paper's g: `x + 0.5` from 0 on, `sigmoid(x)` below; positive, continuous, monotone."""
    return jnp.where(x >= 0, x + 0.5, jax.nn.sigmoid(x))


class MinGRUCell(base.Cell):
    """The minGRU.

    .. code-block:: text

      z, v = x W + b,  z = sigmoid(z)
      h' = (1 - z) * h + z * g(v),      g(v) = v + 0.5 if v >= 0 else sigmoid(v)    positive=True
      h' = (1 - z) * h + z * v                                                      positive=False

    The paper computes the first over all time in log space, for which everything must be positive,
    and starts from g(h_0); here it is a step like any other, from h_0 = 0. z is 1 - u of
    `GRUCell`. Parameters: kernel `[F, 2H]`, bias `[2H]` (z, v).

    Source: Feng et al., 2024.

    Attributes (more in `Cell`):
      positive: whether the candidate goes through g.
    """

    positive: bool = True

    carry_type = MinGRUCarry
    source = "Feng et al., 2024"

    @nn.compact
    def parameters(self, num_inputs: int) -> MinGRUParams:
        return MinGRUParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs, 2 * self.features),
            bias=self.weight("bias", self.bias_init, 2 * self.features),
        )

    @nn.nowrap
    def products(self, params: MinGRUParams) -> Dense:
        return Dense(("inputs",), params.kernel, params.bias, ("update", "candidate"))

    @nn.nowrap
    def pointwise(
        self, params: MinGRUParams, carry: MinGRUCarry, products: tuple[jax.Array, ...]
    ) -> tuple[MinGRUCarry, jax.Array]:
        del params
        update, candidate = products
        update = gate("update", update)
        if self.positive:
            candidate = positive_part(candidate)
        hidden = (1 - update) * carry.hidden + update * candidate
        return MinGRUCarry(hidden), hidden


class MinLSTMCell(base.Cell):
    """The minLSTM, with its gates normalised to add up to 1; it has no memory beside its output.

    .. code-block:: text

      f, i, v = x W + b,  f = sigmoid(f),  i = sigmoid(i)
      h' = f / (f + i) * h + i / (f + i) * g(v)     g as in `MinGRUCell`, positive=True
      h' = f / (f + i) * h + i / (f + i) * v        positive=False

    Parameters: kernel `[F, 3H]`, bias `[3H]` (f, i, v). More on the paper in `MinGRUCell`.

    Source: Feng et al., 2024.

    Attributes (more in `Cell`):
      positive: whether the candidate goes through g.
    """

    positive: bool = True

    carry_type = MinLSTMCarry
    source = "Feng et al., 2024"

    @nn.compact
    def parameters(self, num_inputs: int) -> MinLSTMParams:
        return MinLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs, 3 * self.features),
            bias=self.weight("bias", self.bias_init, 3 * self.features),
        )

    @nn.nowrap
    def products(self, params: MinLSTMParams) -> Dense:
        return Dense(("inputs",), params.kernel, params.bias, ("forget", "input", "candidate"))

    @nn.nowrap
    def pointwise(
        self, params: MinLSTMParams, carry: MinLSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[MinLSTMCarry, jax.Array]:
        del params
        f, i, candidate = products
        # f / (f + i), of logarithms: gates that are both closed would divide 0 by 0.
        keep = gate("forget", jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i))
        if self.positive:
            candidate = positive_part(candidate)
        hidden = keep * carry.hidden + (1 - keep) * candidate
        return MinLSTMCarry(hidden), hidden
