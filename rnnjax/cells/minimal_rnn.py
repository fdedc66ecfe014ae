"""The minimal RNN.

Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural networks", 2017.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import affine


class MinimalRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class MinimalRNNParams(NamedTuple):
    input_kernel: jax.Array  # [F, H]
    update_kernel: jax.Array  # [2H, H], of [z, h]
    bias: jax.Array  # [H], of the update gate


class MinimalRNNCell(base.Cell):
    r"""TF1's `MinimalRNNCell`: an average of the old state and of the inputs' code z.

    .. code-block:: text

      z = activation(x W_x)
      u = sigmoid([z, h] W_u + b)
      h' = u * h + (1 - u) * z

    The paper leaves the map from x to z open; this layer without a bias is TF1's, which keeps all
    weights in one kernel `[F + 2H, H]`, W_x above W_u. Parameters: input_kernel `[F, H]`,
    update_kernel `[2H, H]`, bias `[H]`.

    Source: Chen, 2017.

    Attributes (more in `Cell`):
      activation: of z.
      bias_init: of the update gate's bias, 1 as in TF1: it starts by holding the state.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    bias_init: Initializer = nn.initializers.ones

    carry_type = MinimalRNNCarry
    source = "Chen, 2017"

    @nn.compact
    def parameters(self, num_inputs: int) -> MinimalRNNParams:
        units = self.features
        return MinimalRNNParams(
            input_kernel=self.weight("input_kernel", self.kernel_init, num_inputs, units),
            update_kernel=self.weight("update_kernel", self.kernel_init, 2 * units, units),
            bias=self.weight("bias", self.bias_init, units),
        )

    @nn.nowrap
    def step(
        self, params: MinimalRNNParams, carry: MinimalRNNCarry, inputs: jax.Array
    ) -> tuple[MinimalRNNCarry, jax.Array]:
        (hidden,), params = carry, self.cast(params)
        code = inputs.astype(params.input_kernel.dtype) @ params.input_kernel
        code = self.activation(code.astype(hidden.dtype))
        product = affine((code, hidden), params.update_kernel, params.bias)
        update = gate("update", product.astype(hidden.dtype))
        new_hidden = update * hidden + (1 - update) * code
        return MinimalRNNCarry(new_hidden), new_hidden
