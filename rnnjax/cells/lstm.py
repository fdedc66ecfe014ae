"""Long short-term memory (Hochreiter & Schmidhuber, 1997), as in TF1's `LSTMCell`."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from rnnjax.cells import base


class LSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class LSTMParams(NamedTuple):
    kernel: jax.Array  # [F + P, 4H], of [x, h]; TF's order: input i, new j, forget f, output o
    bias: jax.Array  # [4H]
    peepholes: jax.Array | None = None  # [3, H], diagonals from c to i, f and o
    projection: jax.Array | None = None  # [H, P]


def lstm_step(
    params: LSTMParams,
    carry: LSTMCarry,
    inputs: jax.Array,
    *,
    forget_bias: float = 1.0,
    cell_clip: float | None = None,
    projection_clip: float | None = None,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> tuple[LSTMCarry, jax.Array]:
    """One step of the equations in `LSTMCell`; inputs `[..., F]`, output `[..., P]`."""
    cell, hidden = carry
    gates = base.affine(
        base.join(inputs, hidden, params.kernel), params.kernel, params.bias
    ).astype(cell.dtype)
    i, j, f, o = jnp.split(gates, 4, axis=-1)
    if params.peepholes is not None:
        of_i, of_f, _ = params.peepholes.astype(cell.dtype)
        i, f = i + of_i * cell, f + of_f * cell
    new_cell = jax.nn.sigmoid(f + forget_bias) * cell + jax.nn.sigmoid(i) * activation(j)
    if cell_clip is not None:
        new_cell = jnp.clip(new_cell, -cell_clip, cell_clip)
    if params.peepholes is not None:
        o = o + params.peepholes[2].astype(cell.dtype) * new_cell
    new_hidden = jax.nn.sigmoid(o) * activation(new_cell)
    if params.projection is not None:
        new_hidden = new_hidden.astype(params.projection.dtype) @ params.projection
        if projection_clip is not None:
            new_hidden = jnp.clip(new_hidden, -projection_clip, projection_clip)
    new_carry = LSTMCarry(new_cell, new_hidden.astype(hidden.dtype))
    return new_carry, new_hidden.astype(params.kernel.dtype)


class LSTMCell(nn.RNNCellBase):
    r"""TF1's `BasicLSTMCell`, and with the options its `LSTMCell`.

    .. code-block:: text

      i, j, f, o = [x, h] W + b                        + w_i * c to i, + w_f * c to f (peepholes)
      c' = sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j)
      h' = sigmoid(o) * activation(c')                 + w_o * c' to o (peepholes)
      h' = h' W_p                                      (projection)

    Peepholes: Gers & Schmidhuber, 2000; projection: Sak et al., 2014. The forget bias is added at
    run time, as in TF1 (Keras starts the bias at 1, torch and flax at 0: load their weights with
    `forget_bias=0`). Parameters: kernel `[F + P, 4H]`, bias `[4H]`; peepholes `[3, H]` (i, f, o);
    projection `[H, P]`.

    Attributes:
      features: units H.
      forget_bias: added to the forget gate.
      use_peepholes: let the gates see the memory.
      cell_clip: bound of the memory's absolute value; None: none.
      projection_size: width P of the output; None: H, without a projection.
      projection_clip: bound of the projected output's absolute value; None: none.
      activation: of the new memory and of the output.
      kernel_init: of the kernel and the projection; TF1's default, Glorot uniform.
      peephole_init: of the peepholes; TF1's default.
      bias_init: of the bias.
      dtype: of the products and the output; None: `param_dtype`.
      param_dtype: of the parameters and of the initial carry.
    """

    features: int
    forget_bias: float = 1.0
    use_peepholes: bool = False
    cell_clip: float | None = None
    projection_size: int | None = None
    projection_clip: float | None = None
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    peephole_init: Initializer = base.diagonal_init
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @property
    def output_size(self) -> int:
        return self.features if self.projection_size is None else self.projection_size

    @nn.compact
    def __call__(self, carry: LSTMCarry, inputs: jax.Array) -> tuple[LSTMCarry, jax.Array]:
        base.check_positive(self, "features", "projection_size", "cell_clip", "projection_clip")
        base.check_carry(self, carry, LSTMCarry)
        units, dtype = self.features, self.param_dtype
        kernel_shape = (inputs.shape[-1] + self.output_size, 4 * units)
        projection_shape = (units, self.output_size)
        params = LSTMParams(
            kernel=self.param("kernel", self.kernel_init, kernel_shape, dtype),
            bias=self.param("bias", self.bias_init, (4 * units,), dtype),
            peepholes=self.param("peepholes", self.peephole_init, (3, units), dtype)
            if self.use_peepholes
            else None,
            projection=self.param("projection", self.kernel_init, projection_shape, dtype)
            if self.projection_size is not None
            else None,
        )
        return lstm_step(
            base.cast(params, self.dtype),
            carry,
            inputs,
            forget_bias=self.forget_bias,
            cell_clip=self.cell_clip,
            projection_clip=self.projection_clip,
            activation=self.activation,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LSTMCarry:
        del rng  # zeros, as TF1's zero_state
        return LSTMCarry(
            cell=base.zeros(input_shape, self.features, self.param_dtype),
            hidden=base.zeros(input_shape, self.output_size, self.param_dtype),
        )

    @property
    def num_feature_axes(self) -> int:
        return 1
