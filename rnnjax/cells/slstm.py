"""The sLSTM (Beck et al., "xLSTM: Extended long short-term memory", 2024)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.initializers import by_block
from rnnjax.cells.linear import Dense, Grouped, Sum


class SLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c; both it and n are divided by exp(m)
    normalizer: jax.Array  # [..., H], n: the sum of the weights of all that is in c
    stabilizer: jax.Array  # [..., H], m
    hidden: jax.Array  # [..., H], the last output h


class SLSTMParams(NamedTuple):
    input_kernel: jax.Array  # [F, 4H]; input i, forget f, new z, output o; in each, head by head
    recurrent_kernel: jax.Array  # [N, H / N, 4, H / N] of N heads: from, gate, to
    bias: jax.Array  # [4H]


class SLSTMCell(base.Cell):
    r"""The LSTM with exponential gates and scalar memory, the sLSTM of the xLSTM.

    .. code-block:: text

      i, f, z, o = x W + h R + b         R is block diagonal: a head's units see that head alone
      log_f = f                          forget_gate="exponential"
      log_f = log(sigmoid(f))            forget_gate="sigmoid"
      m' = max(log_f + m, i)             at the start, where n = 0: i
      c' = exp(log_f + m - m') * c + exp(i - m') * tanh(z)
      n' = exp(log_f + m - m') * n + exp(i - m')
      h' = sigmoid(o) * c' / n'

    m keeps the exponentials at most 1 and cancels in h. Counted as 0 at the start, as the equations
    alone have it, it could hold exp(i - m') so low that c' / n' is 0 / 0; the authors' code makes
    the same exception, but only when n = 0 in the whole batch. Theirs has a sigmoid forget gate,
    starts R at 0 and the forget gate's bias along a power law, and stores the bias head by head;
    layout and order of R are the same here. Its block adds a convolution before the gates and a
    normalisation after; this is the cell alone.

    Parameters, of N heads: input_kernel `[F, 4H]`, recurrent_kernel `[N, H / N, 4, H / N]` (from
    unit, gate, to unit), bias `[4H]`; gates in the order i, f, z, o, unit k of a head n at
    n * H / N + k.

    Source: Beck et al., 2024.

    Attributes (more in `Cell`):
      num_heads: N; must divide H.
      forget_gate: "exponential" or "sigmoid".
    """

    num_heads: int = 1
    forget_gate: str = "exponential"

    carry_type = SLSTMCarry
    source = "Beck et al., 2024"

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features", "num_heads")
        if self.features % self.num_heads:
            raise ValueError(
                f"SLSTMCell: num_heads must divide features={self.features}, got {self.num_heads}"
            )
        if self.forget_gate not in ("exponential", "sigmoid"):
            raise ValueError(
                "SLSTMCell: forget_gate must be 'exponential' or 'sigmoid', got "
                f"{self.forget_gate!r}"
            )

    @nn.compact
    def parameters(self, num_inputs: int) -> SLSTMParams:
        heads, units = self.num_heads, self.features // self.num_heads
        return SLSTMParams(
            input_kernel=self.weight(
                "input_kernel", self.kernel_init, num_inputs, 4 * self.features
            ),
            recurrent_kernel=self.weight(
                "recurrent_kernel", by_block(self.kernel_init), heads, units, 4, units
            ),
            bias=self.weight("bias", self.bias_init, 4 * self.features),
        )

    @nn.nowrap
    def products(self, params: SLSTMParams) -> Sum:
        of_inputs = Dense(("inputs",), params.input_kernel, params.bias)
        of_hidden = Grouped(("hidden",), params.recurrent_kernel)
        return Sum((of_inputs, of_hidden), ("input", "forget", "candidate", "output"))

    @nn.nowrap
    def pointwise(
        self, params: SLSTMParams, carry: SLSTMCarry, products: tuple[jax.Array, ...]
    ) -> tuple[SLSTMCarry, jax.Array]:
        del params
        i, f, z, o = products
        log_f = f if self.forget_gate == "exponential" else jax.nn.log_sigmoid(f)
        # Where n = 0 nothing is stored: as the weight of the past, exp(-inf), says.
        past = jnp.where(carry.normalizer == 0, -jnp.inf, log_f + carry.stabilizer)
        stabilizer = jnp.maximum(past, i)
        keep, add = jnp.exp(past - stabilizer), jnp.exp(i - stabilizer)
        cell = keep * carry.cell + add * jnp.tanh(z)
        normalizer = keep * carry.normalizer + add
        hidden = gate("output", o) * cell / normalizer
        return SLSTMCarry(cell, normalizer, stabilizer, hidden), hidden
