"""The phased LSTM (Neil et al., "Phased LSTM", 2016): each unit opens for a part of its period."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import Dense, Inputs, align
from rnnjax.cells.types import Value


class PhasedLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the memory c
    hidden: jax.Array  # [..., H]
    time: jax.Array  # [..., 1], of the next step, if its number is its time


class PhasedLSTMParams(NamedTuple):
    gates_kernel: jax.Array  # [F + H, 2H], of [x, h]; input i, forget f; peepholes: [F + 2H, 2H]
    gates_bias: jax.Array  # [2H]
    candidate_kernel: jax.Array  # [F + H, H]
    candidate_bias: jax.Array  # [H]
    output_kernel: jax.Array  # [F + H, H]; peepholes: [F + 2H, H]
    output_bias: jax.Array  # [H]
    period: jax.Array  # [H]
    phase: jax.Array  # [H]
    ratio_on: jax.Array | None = None  # [H]


class PhasedLSTMProducts(NamedTuple):
    timestamp: Value  # [..., 1], if the inputs say it, or None
    data: Value  # [..., F], the other inputs
    gates: Value  # input and forget, [..., H] each
    candidate: Value  # [..., H]
    output: Value  # [..., H]


def openness(
    time: jax.Array, period: jax.Array, phase: jax.Array, ratio_on: jax.Array | float, leak: float
) -> jax.Array:
    """The time gate k, `[..., H]`: up to 1 and down again in the open part of each period."""
    cycle = jnp.mod(time - phase, period) / period
    rising = 2 * cycle / ratio_on
    gate = jnp.where(cycle < ratio_on, 2 - rising, leak * cycle)
    return jnp.where(cycle < ratio_on / 2, rising, gate)


class PhasedLSTMCell(base.Cell):
    r"""TF1's `PhasedLSTMCell`, an LSTM behind a gate that time opens, a part r of each period.

    .. code-block:: text

      i, f = sigmoid([x, h] W_g + b_g)                    [x, h, c] with peepholes
      c~ = f * c + i * tanh([x, h] W_c + b_c)
      h~ = sigmoid([x, h] W_o + b_o) * tanh(c~)           [x, h, c~] with peepholes
      p = ((t - phase) mod period) / period
      k = 2 p / r if p < r / 2, 2 - 2 p / r if p < r, leak * p else
      c' = k * c~ + (1 - k) * c
      h' = k * h~ + (1 - k) * h

    As in TF1 there is no forget bias, and peepholes are matrices; in the paper they are diagonals.
    The gradient is of these equations; TF1 takes the multiple of the period that the modulo removes
    for a constant, so that its gradient of the period is another. The paper's letters for period,
    phase, ratio_on and leak are tau, s, r_on and alpha. With `timestamps`, F here is the number of
    inputs beside the time.
    Parameters: gates_kernel `[F + H, 2H]` (i, f), gates_bias `[2H]`, candidate_kernel `[F + H, H]`,
    candidate_bias `[H]`, output_kernel `[F + H, H]`, output_bias `[H]`, period `[H]`, phase `[H]`
    (starts uniform within the period), ratio_on `[H]` if it is trainable; with peepholes the
    kernels of the gates and of the output have H more rows below.

    Source: Neil et al., 2016.

    Attributes (more in `Cell`):
      use_peepholes: let the gates see the memory.
      leak: how far a closed gate lets through.
      ratio_on: the part of the period in which the gate is open, or the value this starts with.
      trainable_ratio_on: whether each unit learns its own; otherwise all keep `ratio_on`.
      period_min: the shortest initial period; they are log-uniform.
      period_max: the longest initial period.
      timestamps: whether the first input feature is the time; otherwise it is the step's number, 0
        for the first. It is computed in the dtype of the carry's time.
    """

    use_peepholes: bool = False
    leak: float = 0.001
    ratio_on: float = 0.1
    trainable_ratio_on: bool = True
    period_min: float = 1.0
    period_max: float = 1000.0
    timestamps: bool = False

    carry_type = PhasedLSTMCarry
    pointwise_params = ("gates_kernel", "output_kernel", "period", "phase", "ratio_on")
    source = "Neil et al., 2016"

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features", "ratio_on", "period_min")
        if not self.period_max >= self.period_min:
            raise ValueError(
                f"PhasedLSTMCell: period_max must be at least period_min={self.period_min}, got "
                f"{self.period_max}"
            )
        if not 0 <= self.leak <= 1:
            raise ValueError(f"PhasedLSTMCell: leak must be in [0, 1], got {self.leak}")
        if not self.ratio_on <= 1:
            raise ValueError(f"PhasedLSTMCell: ratio_on must be at most 1, got {self.ratio_on}")

    @nn.compact
    def parameters(self, num_inputs: int) -> PhasedLSTMParams:
        units = self.features
        rows = num_inputs - self.timestamps + units
        gate_rows = rows + units * self.use_peepholes
        period = self.weight("period", self.period_init, units)

        def phase_init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
            return period * jax.random.uniform(key, shape, dtype)

        return PhasedLSTMParams(
            gates_kernel=self.weight("gates_kernel", self.kernel_init, gate_rows, 2 * units),
            gates_bias=self.weight("gates_bias", self.bias_init, 2 * units),
            candidate_kernel=self.weight("candidate_kernel", self.kernel_init, rows, units),
            candidate_bias=self.weight("candidate_bias", self.bias_init, units),
            output_kernel=self.weight("output_kernel", self.kernel_init, gate_rows, units),
            output_bias=self.weight("output_bias", self.bias_init, units),
            period=period,
            phase=self.weight("phase", phase_init, units),
            ratio_on=self.weight("ratio_on", nn.initializers.constant(self.ratio_on), units)
            if self.trainable_ratio_on
            else None,
        )

    @nn.nowrap
    def period_init(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """Log-uniform from `period_min` to `period_max`."""
        low, high = math.log(self.period_min), math.log(self.period_max)
        return jnp.exp(jax.random.uniform(key, shape, dtype, low, high))

    @nn.nowrap
    def products(self, params: PhasedLSTMParams) -> PhasedLSTMProducts:
        rows = len(params.candidate_kernel)  # those below are the peepholes'

        def product(kernel: jax.Array, bias: jax.Array, gates: tuple[str, ...] = ()) -> Dense:
            return Dense(("data", "hidden"), kernel[:rows], bias, gates)

        return PhasedLSTMProducts(
            timestamp=Inputs(stop=1) if self.timestamps else None,
            data=Inputs(start=1 if self.timestamps else None),
            gates=product(params.gates_kernel, params.gates_bias, ("input", "forget")),
            candidate=product(params.candidate_kernel, params.candidate_bias),
            output=product(params.output_kernel, params.output_bias),
        )

    @nn.nowrap
    def pointwise(
        self, params: PhasedLSTMParams, carry: PhasedLSTMCarry, products: PhasedLSTMProducts
    ) -> tuple[PhasedLSTMCarry, jax.Array]:
        cell, hidden, time = carry
        i, f = products.gates
        if self.use_peepholes:
            of_i, of_f = jnp.split(self._peephole(cell, params.gates_kernel), 2, axis=-1)
            i, f = i + of_i, f + of_f
        i, f = gate("input", i), gate("forget", f)
        new_cell = f * cell + i * jnp.tanh(products.candidate)
        o = products.output
        if self.use_peepholes:
            o = o + self._peephole(new_cell, params.output_kernel)
        new_hidden = gate("output", o) * jnp.tanh(new_cell)

        def of_time(param: jax.Array) -> jax.Array:
            return align(param.astype(time.dtype), time)

        opened = openness(
            time if products.timestamp is None else products.timestamp.astype(time.dtype),
            of_time(params.period),
            of_time(params.phase),
            self.ratio_on if params.ratio_on is None else of_time(params.ratio_on),
            self.leak,
        ).astype(cell.dtype)
        new_cell = opened * new_cell + (1 - opened) * cell
        new_hidden = opened * new_hidden + (1 - opened) * hidden
        return PhasedLSTMCarry(new_cell, new_hidden, time + 1), new_hidden

    def _peephole(self, cell: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = self.cast(kernel[-self.features :])
        return (cell.astype(kernel.dtype) @ kernel).astype(cell.dtype)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> PhasedLSTMCarry:
        del rng
        # bfloat16 would count to 256 and no further.
        wide = jnp.float32 if jnp.finfo(self.param_dtype).bits < 32 else self.param_dtype
        return PhasedLSTMCarry(
            cell=self.zeros(input_shape, self.features),
            hidden=self.zeros(input_shape, self.features),
            time=self.zeros(input_shape, 1).astype(wide),
        )
