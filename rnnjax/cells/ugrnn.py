"""The update gate and the intersection RNN.

Collins, Sohl-Dickstein and Sussillo, "Capacity and trainability in recurrent neural networks",
2017.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import Dense, Inputs
from rnnjax.cells.types import Value


class UGRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class UGRNNParams(NamedTuple):
    kernel: jax.Array  # [F + H, 2H], of [x, h]; TF1's order: gate g, candidate c
    bias: jax.Array  # [2H]


class UGRNNCell(base.Cell):
    r"""TF1's `UGRNNCell`: one gate, which keeps the state or takes the candidate.

    .. code-block:: text

      g, c = [x, h] W + b
      h' = sigmoid(g + forget_bias) * h + (1 - sigmoid(g + forget_bias)) * activation(c)

    The forget bias is added at run time, as in TF1 and in the paper; h' is the output. Parameters:
    kernel `[F + H, 2H]` (W of x above that of h, as in TF1), bias `[2H]`.

    Source: Collins et al., 2017.

    Attributes (more in `Cell`):
      forget_bias: added to the gate.
      activation: of the candidate.
    """

    forget_bias: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh

    carry_type = UGRNNCarry
    source = "Collins et al., 2017"

    @nn.compact
    def parameters(self, num_inputs: int) -> UGRNNParams:
        rows, units = num_inputs + self.features, self.features
        return UGRNNParams(
            kernel=self.weight("kernel", self.kernel_init, rows, 2 * units),
            bias=self.weight("bias", self.bias_init, 2 * units),
        )

    @nn.nowrap
    def products(self, params: UGRNNParams) -> Dense:
        return Dense(("inputs", "hidden"), params.kernel, params.bias, ("gate", "candidate"))

    @nn.nowrap
    def pointwise(
        self, params: UGRNNParams, carry: UGRNNCarry, products: tuple[jax.Array, ...]
    ) -> tuple[UGRNNCarry, jax.Array]:
        del params
        keep, candidate = products
        candidate = self.activation(candidate)
        hidden = _mix(gate("forget", keep + self.forget_bias), carry.hidden, candidate)
        return UGRNNCarry(hidden), hidden


class IntersectionRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class IntersectionRNNParams(NamedTuple):
    kernel: jax.Array  # [2H, 4H], of [x, h]; TF1's order: g_h, h, g_y, y
    bias: jax.Array  # [4H]
    input_kernel: jax.Array | None = None  # [F, H], if the inputs are not as wide as the state
    input_bias: jax.Array | None = None  # [H]


class IntersectionRNNProducts(NamedTuple):
    widened: Value  # [..., H], the inputs, as wide as the state
    gates: Value  # four of [..., H]


class IntersectionRNNCell(base.Cell):
    r"""TF1's `IntersectionRNNCell`, the paper's +RNN: one gate through time, one through depth.

    .. code-block:: text

      x = x W_x + b_x                                            if F != H
      g_h, n, g_y, y = [x, h] W + b
      h' = sigmoid(g_h + forget_bias) * h + (1 - sigmoid(g_h + forget_bias)) * tanh(n)
      y' = sigmoid(g_y + forget_bias) * x + (1 - sigmoid(g_y + forget_bias)) * output_activation(y)

    The output is y', no part of the carry. Made for deep stacks, whose layers above the first have
    F = H; there TF1 must be told to project with `num_in_proj`. The forget bias is added at run
    time, as in TF1. Parameters: kernel `[2H, 4H]`, bias `[4H]`; exactly if F != H, input_kernel
    `[F, H]` and input_bias `[H]`.

    Source: Collins et al., 2017.

    Attributes (more in `Cell`):
      forget_bias: added to both gates.
      output_activation: of the candidate for the output; TF1's `y_activation`.
    """

    forget_bias: float = 1.0
    output_activation: Callable[[jax.Array], jax.Array] = jax.nn.relu

    carry_type = IntersectionRNNCarry
    source = "Collins et al., 2017"
    output_field = None

    @nn.compact
    def parameters(self, num_inputs: int) -> IntersectionRNNParams:
        units, projects = self.features, num_inputs != self.features
        return IntersectionRNNParams(
            kernel=self.weight("kernel", self.kernel_init, 2 * units, 4 * units),
            bias=self.weight("bias", self.bias_init, 4 * units),
            input_kernel=self.weight("input_kernel", self.kernel_init, num_inputs, units)
            if projects
            else None,
            input_bias=self.weight("input_bias", self.bias_init, units) if projects else None,
        )

    @nn.nowrap
    def products(self, params: IntersectionRNNParams) -> IntersectionRNNProducts:
        widened = Inputs()
        if params.input_kernel is not None:
            widened = Dense(("inputs",), params.input_kernel, params.input_bias)
        gates = ("through_time", "state", "through_depth", "output")
        return IntersectionRNNProducts(
            widened, Dense(("widened", "hidden"), params.kernel, params.bias, gates)
        )

    @nn.nowrap
    def pointwise(
        self,
        params: IntersectionRNNParams,
        carry: IntersectionRNNCarry,
        products: IntersectionRNNProducts,
    ) -> tuple[IntersectionRNNCarry, jax.Array]:
        del params
        inputs = products.widened.astype(carry.hidden.dtype)
        through_time, state, through_depth, output = products.gates
        keep = gate("time", through_time + self.forget_bias)
        hidden = _mix(keep, carry.hidden, jnp.tanh(state))
        output = self.output_activation(output)
        output = _mix(gate("depth", through_depth + self.forget_bias), inputs, output)
        return IntersectionRNNCarry(hidden), output


def _mix(keep: jax.Array, old: jax.Array, new: jax.Array) -> jax.Array:
    return keep * old + (1 - keep) * new
