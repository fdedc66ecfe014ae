"""The coupled LSTM, "CIFG" (Greff et al., "LSTM: A search space odyssey", 2017)."""

from typing import NamedTuple

import flax.linen as nn
import jax

from rnnjax.cells.gates import gate
from rnnjax.cells.linear import Dense, align
from rnnjax.cells.lstm import ProjectedLSTM, project


class CoupledLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., P], the last output h; P = H without projection


class CoupledLSTMParams(NamedTuple):
    kernel: jax.Array  # [F + P, 3H], of [x, h]; TF's order: new j, forget f, output o
    bias: jax.Array  # [3H]
    peepholes: jax.Array | None = None  # [2, H], diagonals from c to f and o
    projection: jax.Array | None = None  # [H, P]


class CoupledLSTMCell(ProjectedLSTM):
    r"""TF1's `CoupledInputForgetGateLSTMCell`: new comes in as old is forgotten.

    .. code-block:: text

      j, f, o = [x, h] W + b                                         + w_f * c to f (peepholes)
      c' = sigmoid(f + forget_bias) * c + (1 - sigmoid(f + forget_bias)) * activation(j)
      h' = sigmoid(o) * activation(c')                               + w_o * c' to o (peepholes)
      h' = h' W_p                                                    (projection)

    TF's `layer_norm` is left out; in the paper's letters z is j, and its forget bias is part of b.
    Parameters: kernel `[F + P, 3H]`, bias `[3H]`; peepholes `[2, H]` (f, o); projection `[H, P]`.

    Source: Greff et al., 2017.
    """

    carry_type = CoupledLSTMCarry
    pointwise_params = ("peepholes", "projection")
    source = "Greff et al., 2017"

    @nn.compact
    def parameters(self, num_inputs: int) -> CoupledLSTMParams:
        rows, units = num_inputs + self.output_size, self.features
        return CoupledLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, rows, 3 * units),
            bias=self.weight("bias", self.bias_init, 3 * units),
            peepholes=self.weight("peepholes", self.peephole_init, 2, units)
            if self.use_peepholes
            else None,
            projection=self.projection(),
        )

    @nn.nowrap
    def products(self, params: CoupledLSTMParams) -> Dense:
        gates = ("candidate", "forget", "output")
        return Dense(("inputs", "hidden"), params.kernel, params.bias, gates)

    @nn.nowrap
    def pointwise(
        self, params: CoupledLSTMParams, carry: CoupledLSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[CoupledLSTMCarry, jax.Array]:
        cell = carry.cell
        j, f, o = products
        if params.peepholes is not None:
            f = f + align(params.peepholes[0].astype(cell.dtype), cell) * cell
        keep = gate("forget", f + self.forget_bias)
        cell = keep * cell + (1 - keep) * self.activation(j)
        if params.peepholes is not None:
            o = o + align(params.peepholes[1].astype(cell.dtype), cell) * cell
        hidden = gate("output", o) * self.activation(cell)
        hidden = project(hidden, self.cast(params.projection), self.projection_clip)
        return CoupledLSTMCarry(cell, hidden), hidden
