"""The simple recurrent network (Elman, "Finding structure in time", 1990)."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from rnnjax.cells import base


class BasicRNNCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class BasicRNNParams(NamedTuple):
    kernel: jax.Array  # [F + H, H], of [x, h]
    bias: jax.Array  # [H]


def basic_rnn_step(
    params: BasicRNNParams,
    carry: BasicRNNCarry,
    inputs: jax.Array,
    *,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> tuple[BasicRNNCarry, jax.Array]:
    """One step: `h' = activation([x, h] W + b)`; inputs `[..., F]`, output `[..., H]`."""
    (hidden,) = carry
    both = base.join(inputs, hidden, params.kernel)
    new_hidden = activation(base.affine(both, params.kernel, params.bias).astype(hidden.dtype))
    return BasicRNNCarry(new_hidden), new_hidden.astype(params.kernel.dtype)


class BasicRNNCell(nn.RNNCellBase):
    """TF1's `BasicRNNCell`: `h' = activation(x W + h U + b)`, and h' is the output.

    Parameters: kernel `[F + H, H]` (W above U, as in TF1), bias `[H]`.

    Attributes:
      features: units H.
      activation: of the new state.
      kernel_init: of the whole kernel; TF1's default, Glorot uniform.
      bias_init: of the bias.
      dtype: of the products and the output; None: `param_dtype`.
      param_dtype: of the parameters and of the initial carry.
    """

    features: int
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, carry: BasicRNNCarry, inputs: jax.Array) -> tuple[BasicRNNCarry, jax.Array]:
        base.check_positive(self, "features")
        base.check_carry(self, carry, BasicRNNCarry)
        kernel_shape = (inputs.shape[-1] + self.features, self.features)
        params = BasicRNNParams(
            kernel=self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype),
            bias=self.param("bias", self.bias_init, (self.features,), self.param_dtype),
        )
        params = base.cast(params, self.dtype)
        return basic_rnn_step(params, carry, inputs, activation=self.activation)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> BasicRNNCarry:
        del rng  # zeros, as TF1's zero_state
        return BasicRNNCarry(base.zeros(input_shape, self.features, self.param_dtype))

    @property
    def num_feature_axes(self) -> int:
        return 1
