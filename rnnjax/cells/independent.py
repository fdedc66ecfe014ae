"""Recurrence within each unit alone: a vector takes the place of the recurrent matrix.

Li et al., "Independently recurrent neural network", 2018; Gonnet & Deselaers, "IndyLSTMs", 2019.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from rnnjax.cells import base
from rnnjax.cells.gates import gates
from rnnjax.cells.gru import GRU_GATES
from rnnjax.cells.linear import Dense, align
from rnnjax.cells.lstm import LSTM_GATES, lstm_pointwise
from rnnjax.cells.types import Value


class IndRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class IndRNNParams(NamedTuple):
    kernel: jax.Array  # [F, H], of x
    recurrent_scale: jax.Array  # [H], of h
    bias: jax.Array  # [H]


class IndyLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., H]


class IndyLSTMParams(NamedTuple):
    kernel: jax.Array  # [F, 4H], of x; input i, new j, forget f, output o
    recurrent_scale: jax.Array  # [4, H], of h
    bias: jax.Array  # [4H]


class IndyGRUCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class IndyGRUParams(NamedTuple):
    gates_kernel: jax.Array  # [F, 2H], of x; reset r, then update u
    gates_scale: jax.Array  # [2, H], of h
    gates_bias: jax.Array  # [2H]
    candidate_kernel: jax.Array  # [F, H]
    candidate_scale: jax.Array  # [H], of r * h
    candidate_bias: jax.Array  # [H]


class IndyGRUProducts(NamedTuple):
    gates: Value  # reset and update, [..., H] each
    candidate: Value  # [..., H]


def recurrent_scale_init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    """Uniform in [-1, 1), as in TF1; up to 1 a unit's own state does not grow over time."""
    return jax.random.uniform(key, shape, dtype, -1, 1)


class IndRNNCell(base.Cell):
    """TF1's `IndRNNCell`: `h' = activation(x W + u * h + b)`, and h' is the output.

    The paper's activation is ReLU, and it bounds u by the length of the sequences. Parameters:
    kernel `[F, H]` (W), recurrent_scale `[H]` (u), bias `[H]`.

    Source: Li et al., 2018.

    Attributes (more in `Cell`):
      activation: of the new state.
      recurrent_init: of the recurrent scale; TF1's default.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    recurrent_init: Initializer = recurrent_scale_init

    carry_type = IndRNNCarry
    pointwise_params = ("recurrent_scale",)
    source = "Li et al., 2018"

    @nn.compact
    def parameters(self, num_inputs: int) -> IndRNNParams:
        return IndRNNParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs, self.features),
            recurrent_scale=self.weight("recurrent_scale", self.recurrent_init, self.features),
            bias=self.weight("bias", self.bias_init, self.features),
        )

    @nn.nowrap
    def products(self, params: IndRNNParams) -> Dense:
        return Dense(("inputs",), params.kernel, params.bias)

    @nn.nowrap
    def pointwise(
        self, params: IndRNNParams, carry: IndRNNCarry, products: jax.Array
    ) -> tuple[IndRNNCarry, jax.Array]:
        scale = params.recurrent_scale.astype(carry.hidden.dtype)
        hidden = self.activation(products + align(scale, carry.hidden) * carry.hidden)
        return IndRNNCarry(hidden), hidden


class IndyLSTMCell(base.Cell):
    """TF1's `IndyLSTMCell`: the LSTM of which each unit sees its own state only.

    .. code-block:: text

      i, j, f, o = x W + b + [u_i * h, u_j * h, u_f * h, u_o * h]
      c' = sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j)
      h' = sigmoid(o) * activation(c')

    Parameters: kernel `[F, 4H]`, recurrent_scale `[4, H]` (i, j, f, o), bias `[4H]`.

    Source: Gonnet & Deselaers, 2019.

    Attributes (more in `Cell`):
      forget_bias: added to the forget gate.
      activation: of the new memory and of the output.
      recurrent_init: of the recurrent scale; TF1's default.
    """

    forget_bias: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    recurrent_init: Initializer = recurrent_scale_init

    carry_type = IndyLSTMCarry
    pointwise_params = ("recurrent_scale",)
    source = "Gonnet & Deselaers, 2019"

    @nn.compact
    def parameters(self, num_inputs: int) -> IndyLSTMParams:
        units = self.features
        return IndyLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs, 4 * units),
            recurrent_scale=self.weight("recurrent_scale", self.recurrent_init, 4, units),
            bias=self.weight("bias", self.bias_init, 4 * units),
        )

    @nn.nowrap
    def products(self, params: IndyLSTMParams) -> Dense:
        return Dense(("inputs",), params.kernel, params.bias, LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self, params: IndyLSTMParams, carry: IndyLSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[IndyLSTMCarry, jax.Array]:
        scales = params.recurrent_scale.astype(carry.hidden.dtype)
        cell, hidden = lstm_pointwise(
            carry,
            tuple(
                gate + align(scale, carry.hidden) * carry.hidden
                for gate, scale in zip(products, scales, strict=True)
            ),
            forget_bias=self.forget_bias,
            activation=self.activation,
        )
        return IndyLSTMCarry(cell, hidden), hidden


class IndyGRUCell(base.Cell):
    """TF1's `IndyGRUCell`: the GRU of which each unit sees its own state only.

    .. code-block:: text

      r, u = sigmoid(x W_g + b_g + [u_r * h, u_u * h])
      c = activation(x W_c + b_c + u_c * r * h)
      h' = u * h + (1 - u) * c

    Parameters: gates_kernel `[F, 2H]`, gates_scale `[2, H]` (r, u), gates_bias `[2H]` (starts at 1,
    as in TF1), candidate_kernel `[F, H]`, candidate_scale `[H]`, candidate_bias `[H]`.

    Source: Li et al., 2018; Cho et al., 2014.

    Attributes (more in `Cell`):
      activation: of the candidate.
      gates_bias_init: of the bias of both gates; `bias_init` is of the candidate's.
      recurrent_init: of both scales; TF1's default.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    gates_bias_init: Initializer = nn.initializers.ones
    recurrent_init: Initializer = recurrent_scale_init

    carry_type = IndyGRUCarry
    pointwise_params = ("gates_scale", "candidate_scale")
    source = "Li et al., 2018; Cho et al., 2014"

    @nn.compact
    def parameters(self, num_inputs: int) -> IndyGRUParams:
        units = self.features
        return IndyGRUParams(
            gates_kernel=self.weight("gates_kernel", self.kernel_init, num_inputs, 2 * units),
            gates_scale=self.weight("gates_scale", self.recurrent_init, 2, units),
            gates_bias=self.weight("gates_bias", self.gates_bias_init, 2 * units),
            candidate_kernel=self.weight("candidate_kernel", self.kernel_init, num_inputs, units),
            candidate_scale=self.weight("candidate_scale", self.recurrent_init, units),
            candidate_bias=self.weight("candidate_bias", self.bias_init, units),
        )

    @nn.nowrap
    def products(self, params: IndyGRUParams) -> IndyGRUProducts:
        return IndyGRUProducts(
            Dense(("inputs",), params.gates_kernel, params.gates_bias, GRU_GATES),
            Dense(("inputs",), params.candidate_kernel, params.candidate_bias),
        )

    @nn.nowrap
    def pointwise(
        self, params: IndyGRUParams, carry: IndyGRUCarry, products: IndyGRUProducts
    ) -> tuple[IndyGRUCarry, jax.Array]:
        (hidden,) = carry
        scales = params.gates_scale.astype(hidden.dtype)
        reset, update = gates(
            GRU_GATES,
            [x + align(u, hidden) * hidden for x, u in zip(products.gates, scales, strict=True)],
        )
        scale = align(params.candidate_scale.astype(hidden.dtype), hidden)
        candidate = self.activation(products.candidate + scale * (reset * hidden))
        new_hidden = update * hidden + (1 - update) * candidate
        return IndyGRUCarry(new_hidden), new_hidden
