"""Grid LSTM (Kalchbrenner et al., 2015; over time and frequency, Sainath & Li, 2016)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.initializers import diagonal_init
from rnnjax.cells.linear import align, join


class GridLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., K, H], the memory along time of each block
    hidden: jax.Array  # [..., K, H], the output along time of each block


class GridLSTMParams(NamedTuple):
    time_kernel: jax.Array  # [S + 2H, 4H], of [x_k, h, g]; input i, new j, forget f, output o
    time_bias: jax.Array  # [4H]
    frequency_kernel: jax.Array | None = None  # [S + 2H, 4H]; None: all of time's serves both
    frequency_bias: jax.Array | None = None  # [4H]
    time_peepholes: jax.Array | None = None  # [3, 2, H], to i, f, o from frequency's memory, time's
    frequency_peepholes: jax.Array | None = None  # [3, 2, H]


def grid_lstm_step(
    params: GridLSTMParams,
    carry: GridLSTMCarry,
    inputs: jax.Array,
    *,
    frequency_skip: int | None = None,
    forget_bias: float = 1.0,
) -> tuple[GridLSTMCarry, jax.Array]:
    """One step of the equations in `GridLSTMCell`; inputs `[..., F]`, output `[..., 2KH]`."""
    num_blocks, units = carry.cell.shape[-2:]
    size = params.time_kernel.shape[0] - 2 * units
    skip = size if frequency_skip is None else frequency_skip

    # Both LSTMs at once, on an axis D of frequency, then time; of length 1 if they share weights.
    kernels = _stack(params.frequency_kernel, params.time_kernel)  # [D, S + 2H, 4H]
    biases = _stack(params.frequency_bias, params.time_bias)  # [D, 4H]
    peepholes = None
    if params.time_peepholes is not None:
        peepholes = _stack(params.frequency_peepholes, params.time_peepholes)  # [D, 3, 2, H]
        peepholes = peepholes.astype(carry.cell.dtype)

    def seen(gate: int, cells: jax.Array) -> jax.Array | float:
        if peepholes is None:
            return 0.0
        states = cells[..., None, :, :]
        return (align(peepholes[:, gate], states) * states).sum(-2)

    def block_step(
        below: GridLSTMCarry, block: tuple[jax.Array, GridLSTMCarry]
    ) -> tuple[GridLSTMCarry, tuple[GridLSTMCarry, jax.Array]]:
        x, before = block
        both = jnp.concatenate([before.hidden, below.hidden], axis=-1)
        product = jnp.einsum("...i,dij->...dj", join((x, both), kernels.dtype), kernels)
        gates = product + align(biases, product)
        i, j, f, o = jnp.split(gates.astype(both.dtype), 4, axis=-1)
        cells = jnp.stack([below.cell, before.cell], axis=-2)
        forget, write = gate("forget", f + seen(1, cells) + forget_bias), i + seen(0, cells)
        cells = forget * cells + gate("input", write) * jnp.tanh(j)
        hidden = gate("output", o + seen(2, cells)) * jnp.tanh(cells)
        frequency, time = (GridLSTMCarry(cells[..., d, :], hidden[..., d, :]) for d in (0, 1))
        return frequency, (time, jnp.concatenate([time.hidden, frequency.hidden], axis=-1))

    blocks = jnp.stack([inputs[..., k * skip : k * skip + size] for k in range(num_blocks)])
    carries = GridLSTMCarry(*(jnp.moveaxis(leaf, -2, 0) for leaf in carry))
    lowest = GridLSTMCarry(*(jnp.zeros_like(leaf[0]) for leaf in carries))
    _, (carries, outputs) = jax.lax.scan(block_step, lowest, (blocks, carries))
    outputs = jnp.moveaxis(outputs, 0, -2)
    new_carry = GridLSTMCarry(*(jnp.moveaxis(leaf, 0, -2) for leaf in carries))
    return new_carry, outputs.reshape(*outputs.shape[:-2], -1)


def _stack(of_frequency: jax.Array | None, of_time: jax.Array) -> jax.Array:
    return of_time[None] if of_frequency is None else jnp.stack([of_frequency, of_time])


class GridLSTMCell(base.Cell):
    r"""TF1's `GridLSTMCell`: an LSTM along time and one up the frequencies of each step.

    Block k of a step is the S features from kR on, R the skip. Both LSTMs see the hidden state h, c
    of the block at the last step and g, d of the block below, zeros at the lowest.

    .. code-block:: text

      i, j, f, o = [x_k, h, g] W + b        + p_i d + q_i c to i, + p_f d + q_f c to f (peepholes)
      I, J, F, O = [x_k, h, g] V + a        with peepholes of its own; or W, b and all are shared
      c' = sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)                    along time
      d' = sigmoid(F + forget_bias) * d + sigmoid(I) * tanh(J)                    along frequency
      h' = sigmoid(o) * tanh(c')            + p_o d' + q_o c' to o (peepholes)
      g' = sigmoid(O) * tanh(d')
      y = [h'_1, g'_1, h'_2, g'_2, ...]     of all K blocks

    Of TF1's class it is the case of one range of blocks, all of F, without `cell_clip` and coupled
    gates. Where TF1 leaves out features at the end that make no block, here they must come out
    even. Weights that both share are time's here, frequency's (`W_f`) in TF1, whose peepholes are
    vectors `W_{I,F,O}_diag_{freq,time}{f,t}`. Kalchbrenner et al. let a grid have any number of
    dimensions; the peepholes are Sainath & Li's. Parameters: time_kernel, frequency_kernel
    `[S + 2H, 4H]`; time_bias, frequency_bias `[4H]`; time_peepholes, frequency_peepholes
    `[3, 2, H]` (to i, f and o, from d and from c). If shared, there are none of frequency.

    Source: Kalchbrenner et al., 2015; Sainath & Li, 2016.

    Attributes (more in `Cell`):
      features: units H of either LSTM; the output has 2KH features.
      feature_size: features S of a block; None: all F, one block.
      frequency_skip: features R from block to block; None: S.
      share_weights: use one set of parameters along time and along frequency.
      use_peepholes: let the gates see both memories.
      forget_bias: added to the forget gates.
      peephole_init: of the peepholes; TF1's default.
    """

    feature_size: int | None = None
    frequency_skip: int | None = None
    share_weights: bool = False
    use_peepholes: bool = False
    forget_bias: float = 1.0
    peephole_init: Initializer = diagonal_init

    carry_type = GridLSTMCarry
    source = "Kalchbrenner et al., 2015; Sainath & Li, 2016"
    output_field = None

    @nn.nowrap
    def num_blocks(self, num_inputs: int) -> int:
        """Returns K; raises a ValueError if blocks do not cover the inputs evenly."""
        base.check_positive(self, "feature_size", "frequency_skip")
        size = self.feature_size or num_inputs
        skip = self.frequency_skip or size
        if size > num_inputs or (num_inputs - size) % skip:
            raise ValueError(
                f"GridLSTMCell: feature_size={size} and frequency_skip={skip} must cover the input "
                f"features evenly, got {num_inputs} of them"
            )
        return (num_inputs - size) // skip + 1

    @nn.compact
    def parameters(self, num_inputs: int) -> GridLSTMParams:
        units = self.features
        rows = (self.feature_size or num_inputs) + 2 * units
        params = {}
        for along in ("time",) if self.share_weights else ("time", "frequency"):
            params |= {
                f"{along}_kernel": self.weight(
                    f"{along}_kernel", self.kernel_init, rows, 4 * units
                ),
                f"{along}_bias": self.weight(f"{along}_bias", self.bias_init, 4 * units),
            }
            if self.use_peepholes:
                name = f"{along}_peepholes"
                params[name] = self.weight(name, self.peephole_init, 3, 2, units)
        return GridLSTMParams(**params)

    @nn.nowrap
    def step(
        self, params: GridLSTMParams, carry: GridLSTMCarry, inputs: jax.Array
    ) -> tuple[GridLSTMCarry, jax.Array]:
        return grid_lstm_step(
            self.cast(params),
            carry,
            inputs,
            frequency_skip=self.frequency_skip,
            forget_bias=self.forget_bias,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> GridLSTMCarry:
        del rng
        self.check()
        shape = (*input_shape[:-1], self.num_blocks(input_shape[-1]), self.features)
        return GridLSTMCarry(jnp.zeros(shape, self.param_dtype), jnp.zeros(shape, self.param_dtype))
