"""The chaos-free network.

Laurent & von Brecht, "A recurrent neural network without chaos", 2017.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells import base
from rnnjax.cells.gates import gates
from rnnjax.cells.linear import Dense, Sum
from rnnjax.cells.types import Value


class CFNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class CFNParams(NamedTuple):
    input_kernel: jax.Array  # [F, 3H], of x; TF1's order: gates theta and eta, candidate
    recurrent_kernel: jax.Array  # [H, 2H], of h; theta and eta
    bias: jax.Array  # [2H]


class CFNProducts(NamedTuple):
    gates: Value  # theta and eta, [..., H] each
    candidate: Value  # [..., H]


class CFNCell(base.Cell):
    r"""TF1's `CFNCell`: without inputs its state falls to 0, whatever the weights.

    .. code-block:: text

      theta, eta = sigmoid(x V + h U + b)
      h' = theta * activation(h) + (1 - eta) * activation(x W)

    The paper has eta for 1 - eta: its weights load with those of eta negated. TF1 took this side so
    that one initial bias of 1 keeps the state and shuts the inputs out. Parameters: input_kernel
    `[F, 3H]` (V, then W), recurrent_kernel `[H, 2H]` (U), bias `[2H]`.

    Source: Laurent & von Brecht, 2017.

    Attributes (more in `Cell`):
      activation: of the old state and of the inputs.
      bias_init: of both gates' bias, 1 as in TF1.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    bias_init: Initializer = nn.initializers.ones

    carry_type = CFNCarry
    source = "Laurent & von Brecht, 2017"

    @nn.compact
    def parameters(self, num_inputs: int) -> CFNParams:
        units = self.features
        return CFNParams(
            input_kernel=self.weight("input_kernel", self.kernel_init, num_inputs, 3 * units),
            recurrent_kernel=self.weight("recurrent_kernel", self.kernel_init, units, 2 * units),
            bias=self.weight("bias", self.bias_init, 2 * units),
        )

    @nn.nowrap
    def products(self, params: CFNParams) -> CFNProducts:
        kernel, candidate_kernel = jnp.split(params.input_kernel, [2 * self.features], axis=-1)
        of_inputs = Dense(("inputs",), kernel)
        of_hidden = Dense(("hidden",), params.recurrent_kernel, params.bias)
        return CFNProducts(
            gates=Sum((of_inputs, of_hidden), ("theta", "eta")),
            candidate=Dense(("inputs",), candidate_kernel),
        )

    @nn.nowrap
    def pointwise(
        self, params: CFNParams, carry: CFNCarry, products: CFNProducts
    ) -> tuple[CFNCarry, jax.Array]:
        del params
        theta, eta = gates(("theta", "eta"), products.gates)
        remembered = theta * self.activation(carry.hidden)
        hidden = remembered + (1 - eta) * self.activation(products.candidate)
        return CFNCarry(hidden), hidden
