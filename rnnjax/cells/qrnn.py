"""The quasi-recurrent network (Bradbury et al., "Quasi-recurrent neural networks", 2017)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.gates import gates
from rnnjax.cells.linear import Dense, Inputs
from rnnjax.cells.types import Value

GATES = {
    "f": ("forget",),
    "fo": ("forget", "output"),
    "ifo": ("forget", "output", "input"),
}


class QRNNCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    window: jax.Array  # [..., window - 1, F], the previous inputs, oldest first


class QRNNParams(NamedTuple):
    kernel: jax.Array  # [window, F, G * H], oldest step first; candidate z, then each letter's gate
    bias: jax.Array  # [G * H]


class QRNNProducts(NamedTuple):
    gates: Value  # G of [..., H]
    latest: Value  # [..., F], the inputs


class QRNNCell(base.Cell):
    """A convolution over the last inputs, pooled over time by gates that do not see the state.

    .. code-block:: text

      z, f, o, i = [x_(t-k+1), ..., x_t] * W + b;  z = tanh(z), the others through a sigmoid
      c' = f * c + (1 - f) * z,    y = c'         pooling="f"
      c' = f * c + (1 - f) * z,    y = o * c'     pooling="fo"
      c' = f * c + i * z,          y = o * c'     pooling="ifo"

    What lies before the first step is zero, so that the convolution is causal. The paper calls the
    memory of f-pooling h; its biases are implicit, its zoneout on f is left out. Parameters: kernel
    `[k, F, G H]`, bias `[G H]`, with G = 2, 3 or 4 gates in the order z, f, o, i.

    Source: Bradbury et al., 2017.

    Attributes (more in `Cell`):
      window: width k of the convolution over time; 1: only the current input.
      pooling: "f", "fo" or "ifo", the gates there are.
    """

    window: int = 2
    pooling: str = "fo"

    carry_type = QRNNCarry
    source = "Bradbury et al., 2017"
    output_field = None

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features", "window")
        if self.pooling not in GATES:
            raise ValueError(f"QRNNCell: pooling must be 'f', 'fo' or 'ifo', got {self.pooling!r}")

    @nn.compact
    def parameters(self, num_inputs: int) -> QRNNParams:
        columns = (1 + len(self.pooling)) * self.features
        return QRNNParams(
            kernel=self.weight("kernel", self.kernel_init, self.window, num_inputs, columns),
            bias=self.weight("bias", self.bias_init, columns),
        )

    @nn.nowrap
    def products(self, params: QRNNParams) -> QRNNProducts:
        kernel = params.kernel.reshape(-1, params.kernel.shape[-1])
        gates = ("candidate", *GATES[self.pooling])
        return QRNNProducts(Dense(("window", "inputs"), kernel, params.bias, gates), Inputs())

    @nn.nowrap
    def pointwise(
        self, params: QRNNParams, carry: QRNNCarry, products: QRNNProducts
    ) -> tuple[QRNNCarry, jax.Array]:
        del params
        candidate, *arguments = products.gates
        forget, *others = gates(GATES[self.pooling], arguments)
        update = others[1] if self.pooling == "ifo" else 1 - forget
        new_cell = forget * carry.cell + update * jnp.tanh(candidate)
        output = others[0] * new_cell if others else new_cell
        latest = products.latest[..., None, :].astype(carry.window.dtype)
        window = jnp.concatenate([carry.window, latest], axis=-2)[..., 1:, :]
        return QRNNCarry(new_cell, window), output

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> QRNNCarry:
        del rng
        self.check()
        previous = (*input_shape[:-1], self.window - 1, input_shape[-1])
        return QRNNCarry(
            cell=self.zeros(input_shape, self.features),
            window=self.zeros(previous, input_shape[-1]),
        )
