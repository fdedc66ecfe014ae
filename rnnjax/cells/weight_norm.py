"""Cells with normalised weights (Salimans & Kingma, "Weight normalization", 2016)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

from rnnjax.cells import base
from rnnjax.cells.linear import Dense, align
from rnnjax.cells.lstm import LSTM_GATES, ProjectedLSTM, lstm_pointwise


def normalize_columns(
    kernel: Float[Array, "F H"], scale: Float[Array, " H"]
) -> Float[Array, "F H"]:
    """Returns the kernel `[F, H]` with each column brought to the length that `scale` `[H]` says.

    As in TF1, a column shorter than 1e-6 counts as one of that length: zeros remain zeros.
    """
    squares = jnp.sum(kernel**2, axis=0)
    return kernel * align(scale * jax.lax.rsqrt(jnp.maximum(squares, 1e-12)), kernel)


class WeightNormLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class WeightNormLSTMParams(NamedTuple):
    kernel: jax.Array  # [F + P, 4H], of [x, h]; TF's order: input i, new j, forget f, output o
    scales: jax.Array  # [2, 4H], of the columns of x and of those of h
    bias: jax.Array  # [4H]
    peepholes: jax.Array | None = None  # [3, H], diagonals from c to i, f and o
    projection: jax.Array | None = None  # [H, P]
    projection_scale: jax.Array | None = None  # [P]


class WeightNormLSTMCell(ProjectedLSTM):
    r"""TF1's `WeightNormLSTMCell`: an LSTM whose weights have their lengths learned by themselves.

    .. code-block:: text

      W_x, W_h, W_p = V / |V| * s        each column of each has its own scale s
      and with W = [W_x; W_h] and W_p all of `LSTMCell`

    In the paper's letters, `w = g v / |v|`. It sets g and b from a first batch; TF draws g as it
    draws the weights, although a length of about 0 hardly passes a signal on; here scales start
    at 1. Parameters: kernel `[F + P, 4H]` (V_x above V_h), scales `[2, 4H]` (of x, of h), bias
    `[4H]`; peepholes `[3, H]` (i, f, o); projection `[H, P]` and projection_scale `[P]`.

    Source: Salimans & Kingma, 2016.

    Attributes (more in `ProjectedLSTM`):
      cell_clip: bound of the memory's absolute value; None: none.
      scale_init: of all scales.
    """

    cell_clip: float | None = None
    scale_init: Initializer = nn.initializers.ones

    carry_type = WeightNormLSTMCarry
    pointwise_params = ("peepholes", "projection", "projection_scale")
    source = "Salimans & Kingma, 2016"

    @nn.nowrap
    def check(self) -> None:
        super().check()
        base.check_positive(self, "cell_clip")

    @nn.compact
    def parameters(self, num_inputs: int) -> WeightNormLSTMParams:
        units, outputs = self.features, self.output_size
        return WeightNormLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, num_inputs + outputs, 4 * units),
            scales=self.weight("scales", self.scale_init, 2, 4 * units),
            bias=self.weight("bias", self.bias_init, 4 * units),
            peepholes=self.weight("peepholes", self.peephole_init, 3, units)
            if self.use_peepholes
            else None,
            projection=self.projection(),
            projection_scale=self.weight("projection_scale", self.scale_init, outputs)
            if self.projection_size is not None
            else None,
        )

    @nn.nowrap
    def products(self, params: WeightNormLSTMParams) -> Dense:
        kernels = params.kernel[: -self.output_size], params.kernel[-self.output_size :]
        kernel = jnp.concatenate(
            [normalize_columns(*pair) for pair in zip(kernels, params.scales, strict=True)]
        )
        return Dense(("inputs", "hidden"), kernel, params.bias, LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self,
        params: WeightNormLSTMParams,
        carry: WeightNormLSTMCarry,
        products: tuple[jax.Array, ...],
    ) -> tuple[WeightNormLSTMCarry, jax.Array]:
        projection = self.cast(params.projection)
        if projection is not None and params.projection_scale is not None:
            projection = normalize_columns(projection, self.cast(params.projection_scale))
        new_carry = WeightNormLSTMCarry(
            *lstm_pointwise(
                carry,
                products,
                peepholes=params.peepholes,
                projection=projection,
                forget_bias=self.forget_bias,
                cell_clip=self.cell_clip,
                projection_clip=self.projection_clip,
                activation=self.activation,
            )
        )
        return new_carry, new_carry.hidden
