"""Long short-term memory (Hochreiter & Schmidhuber, 1997), as in TF1's `LSTMCell`."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.initializers import diagonal_init
from rnnjax.cells.linear import Dense, align
from rnnjax.cells.projected import ProjectedCell
from rnnjax.cells.types import Carry

LSTM_GATES = ("input", "candidate", "forget", "output")  # TF1's i, j, f, o


class LSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class LSTMParams(NamedTuple):
    kernel: jax.Array  # [F + P, 4H], of [x, h]; TF's order: input i, new j, forget f, output o
    bias: jax.Array  # [4H]
    peepholes: jax.Array | None = None  # [3, H], diagonals from c to i, f and o
    projection: jax.Array | None = None  # [H, P]


def lstm_pointwise(
    carry: Carry,
    gates: tuple[Float[Array, "*B H"], ...],
    *,
    peepholes: Float[Array, "3 H"] | None = None,
    projection: Float[Array, "H P"] | None = None,
    forget_bias: float = 1.0,
    cell_clip: float | None = None,
    projection_clip: float | None = None,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
    candidate_activation: Callable[[jax.Array], jax.Array] | None = None,
) -> tuple[Float[Array, "*B H"], Float[Array, "*B _"]]:
    """One step of the equations in `LSTMCell`, after `gates = [x, h] W + b`, four of `[..., H]`.

    Returns the new memory `[..., H]` and the new hidden state `[..., P]`. The candidate j may have
    an activation of its own.
    """
    cell = carry.cell
    i, j, f, o = gates
    if peepholes is not None:
        peepholes = peepholes.astype(cell.dtype)
        i, f = i + align(peepholes[0], cell) * cell, f + align(peepholes[1], cell) * cell
    candidate = (candidate_activation or activation)(j)
    new_cell = gate("forget", f + forget_bias) * cell + gate("input", i) * candidate
    if cell_clip is not None:
        new_cell = jnp.clip(new_cell, -cell_clip, cell_clip)
    if peepholes is not None:
        o = o + align(peepholes[2], cell) * new_cell
    hidden = gate("output", o) * activation(new_cell)
    return new_cell, project(hidden, projection, projection_clip)


def project(
    hidden: Float[Array, "*B H"], projection: Float[Array, "H P"] | None, clip: float | None = None
) -> Float[Array, "*B _"]:
    """Returns `h W_p`, `[..., P]`, in the dtype of h; h itself without a projection."""
    if projection is None:
        return hidden
    projected = (hidden.astype(projection.dtype) @ projection).astype(hidden.dtype)
    return projected if clip is None else jnp.clip(projected, -clip, clip)


def forget_gate_bias(value: float) -> Initializer:
    """A `bias_init` that starts the forget gate at `value` and the rest at 0, as Keras does at 1.

    For cells whose bias is of the four gates i, j, f, o. With it goes `forget_bias=0`, or the gate
    would start at the sum of both.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        del key
        i, j, f, o = jnp.split(jnp.zeros(shape, dtype), 4)
        return jnp.concatenate([i, j, f + value, o])

    return init


class ProjectedLSTM(ProjectedCell):
    """What the LSTMs share whose gates may see the memory and whose output may be projected.

    Attributes (more in `ProjectedCell`):
      forget_bias: added to the forget gate.
      use_peepholes: let the gates see the memory.
      projection_clip: bound of the projected output's absolute value; None: none.
      activation: of the new memory and of the output.
      peephole_init: of the peepholes; TF1's default.
    """

    forget_bias: float = 1.0
    use_peepholes: bool = False
    projection_clip: float | None = None
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    peephole_init: Initializer = diagonal_init

    @nn.nowrap
    def check(self) -> None:
        super().check()
        base.check_positive(self, "projection_clip")


class LSTMCell(ProjectedLSTM):
    r"""TF1's `BasicLSTMCell`, and with the options its `LSTMCell`.

    .. code-block:: text

      i, j, f, o = [x, h] W + b                        + w_i * c to i, + w_f * c to f (peepholes)
      c' = sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j)
      h' = sigmoid(o) * activation(c')                 + w_o * c' to o (peepholes)
      h' = h' W_p                                      (projection)

    Peepholes: Gers & Schmidhuber, 2000; projection: Sak et al., 2014. The forget bias is added at
    run time, as in TF1. torch and flax have none, Keras starts the bias at 1, here
    `bias_init=forget_gate_bias(1)`: with `forget_bias=0`, the weights of all three load.
    Parameters: kernel `[F + P, 4H]`, bias `[4H]`; peepholes `[3, H]` (i, f, o); projection
    `[H, P]`.

    Source: Hochreiter & Schmidhuber, 1997; Gers et al., 2000.

    Attributes (more in `ProjectedLSTM`):
      cell_clip: bound of the memory's absolute value; None: none.
    """

    cell_clip: float | None = None

    carry_type = LSTMCarry
    pointwise_params = ("peepholes", "projection")
    source = "Hochreiter & Schmidhuber, 1997; Gers et al., 2000"

    @nn.nowrap
    def check(self) -> None:
        super().check()
        base.check_positive(self, "cell_clip")

    @nn.compact
    def parameters(self, num_inputs: int) -> LSTMParams:
        rows, units = num_inputs + self.output_size, self.features
        return LSTMParams(
            kernel=self.weight("kernel", self.kernel_init, rows, 4 * units),
            bias=self.weight("bias", self.bias_init, 4 * units),
            peepholes=self.weight("peepholes", self.peephole_init, 3, units)
            if self.use_peepholes
            else None,
            projection=self.projection(),
        )

    @nn.nowrap
    def products(self, params: LSTMParams) -> Dense:
        return Dense(("inputs", "hidden"), params.kernel, params.bias, LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self, params: LSTMParams, carry: LSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[LSTMCarry, jax.Array]:
        new_carry = LSTMCarry(
            *lstm_pointwise(
                carry,
                products,
                peepholes=params.peepholes,
                projection=self.cast(params.projection),
                forget_bias=self.forget_bias,
                cell_clip=self.cell_clip,
                projection_clip=self.projection_clip,
                activation=self.activation,
            )
        )
        return new_carry, new_carry.hidden
