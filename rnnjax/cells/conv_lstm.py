"""Convolutional LSTM (Shi et al., "Convolutional LSTM network", 2015)."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.linear import Convolution
from rnnjax.cells.lstm import LSTM_GATES, lstm_pointwise
from rnnjax.cells.types import Carry


class ConvLSTM1DCarry(NamedTuple):
    cell: jax.Array  # [..., *space, H], the memory c
    hidden: jax.Array  # [..., *space, H], the last output h


class ConvLSTM2DCarry(NamedTuple):
    cell: jax.Array  # [..., *space, H], the memory c
    hidden: jax.Array  # [..., *space, H], the last output h


class ConvLSTM3DCarry(NamedTuple):
    cell: jax.Array  # [..., *space, H], the memory c
    hidden: jax.Array  # [..., *space, H], the last output h


class ConvLSTMParams(NamedTuple):
    kernel: jax.Array  # [*kernel_shape, C + H, 4H], of [x, h]; input i, new j, forget f, output o
    bias: jax.Array | None = None  # [4H]


class ConvLSTMCell(base.Cell):
    r"""TF1's `ConvLSTMCell`: an LSTM whose states are images and whose products convolutions.

    .. code-block:: text

      i, j, f, o = [x, h] * W + b                      (* is the convolution)
      c' = sigmoid(f + forget_bias) . c + sigmoid(i) . activation(j)
      h' = sigmoid(o) . activation(c')

    Abstract: use `ConvLSTM1DCell`, `ConvLSTM2DCell` or `ConvLSTM3DCell`. Strides are 1 and zeros
    lie beyond the edges (SAME), so that x `[..., *space, C]` and the states `[..., *space, H]` have
    the same space. The paper's peepholes are left out, as in TF1, Keras and flax; so is TF1's
    `skip_connection`. flax has two convolutions, `ih` and `hh`: their kernels, joined along the
    second-last axis, are the kernel here, and the sum of their biases is the bias. Keras has two
    kernels and one bias, the gates in the order i, f, j, o, and its forget bias in the bias.
    Parameters: kernel `[*kernel_shape, C + H, 4H]`; bias `[4H]`.

    Source: Shi et al., 2015.

    Attributes (more in `Cell`):
      features: channels H of the states.
      kernel_shape: extents of the kernel, one a dimension; none may exceed the image's.
      use_bias: whether there is a bias.
      forget_bias: added to the forget gate.
      activation: of the new memory and of the output.
    """

    kernel_shape: tuple[int, ...] = ()
    use_bias: bool = True
    forget_bias: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh

    rank: ClassVar[int]  # dimensions of an image
    source = "Shi et al., 2015"

    @property
    def num_feature_axes(self) -> int:
        return self.rank + 1

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features")
        if len(self.kernel_shape) != self.rank or min(self.kernel_shape) < 1:
            raise ValueError(
                f"{type(self).__name__}: kernel_shape must be {self.rank} sizes above 0, got "
                f"{self.kernel_shape}"
            )

    @nn.compact
    def parameters(self, num_inputs: int) -> ConvLSTMParams:
        shape = *self.kernel_shape, num_inputs + self.features, 4 * self.features
        return ConvLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, *shape),
            bias=self.weight("bias", self.bias_init, shape[-1]) if self.use_bias else None,
        )

    @nn.nowrap
    def products(self, params: ConvLSTMParams) -> Convolution:
        return Convolution(("inputs", "hidden"), params.kernel, params.bias, LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self, params: ConvLSTMParams, carry: Carry, products: tuple[jax.Array, ...]
    ) -> tuple[Carry, jax.Array]:
        del params
        cell, hidden = lstm_pointwise(
            carry, products, forget_bias=self.forget_bias, activation=self.activation
        )
        return self.carry_type(cell, hidden), hidden

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Carry:
        space = input_shape[-self.num_feature_axes : -1]
        if any(k > s for k, s in zip(self.kernel_shape, space, strict=False)):
            raise ValueError(
                f"{type(self).__name__}: kernel_shape must fit into the image, got "
                f"{self.kernel_shape} for an image of shape {space}"
            )
        return super().initialize_carry(rng, input_shape)


class ConvLSTM1DCell(ConvLSTMCell):
    """`ConvLSTMCell` for sequences of signals `[W, C]`."""

    kernel_shape: tuple[int, ...] = (3,)

    rank = 1
    carry_type = ConvLSTM1DCarry


class ConvLSTM2DCell(ConvLSTMCell):
    """`ConvLSTMCell` for sequences of images `[H, W, C]`."""

    kernel_shape: tuple[int, ...] = (3, 3)

    rank = 2
    carry_type = ConvLSTM2DCarry


class ConvLSTM3DCell(ConvLSTMCell):
    """`ConvLSTMCell` for sequences of volumes `[D, H, W, C]`."""

    kernel_shape: tuple[int, ...] = (3, 3, 3)

    rank = 3
    carry_type = ConvLSTM3DCarry


def fold(features: int, axes: int) -> tuple[int, ...]:
    """Returns the shape nearest to a cube, of so many axes, that holds so many features.

    >>> fold(28, 1), fold(28, 2), fold(28, 3)
    ((28,), (7, 4), (7, 2, 2))
    """
    if axes <= 1:
        return (features,) * axes
    root = round(features ** (1 / axes) + 0.5)
    last = max(n for n in range(1, root + 1) if features % n == 0 and n**axes <= features)
    return (*fold(features // last, axes - 1), last)
