"""Layer-normalised cells (Ba, Kiros & Hinton, "Layer normalization", 2016)."""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

from rnnjax.cells import base
from rnnjax.cells.gates import gate, gates
from rnnjax.cells.gru import GRU_GATES
from rnnjax.cells.linear import Dense, align
from rnnjax.cells.lstm import LSTM_GATES
from rnnjax.cells.types import Value

# While inputs and state are zero, as in a blank image, nothing has any variance, and each such step
# multiplies the gradient by 1 / sqrt(epsilon), to infinity within a few rows. With shifts that
# differ from unit to unit, the state has variance after its first step. Scales below 1 keep the
# gradient from growing over hundreds of steps, as batch norm's do in an LSTM (Cooijmans et al.,
# "Recurrent batch normalization", 2016): with 1, its norm is up to 1e14 after 784 steps.
SHIFT_INIT = nn.initializers.normal(0.1)
LSTM_SCALE_INIT = nn.initializers.constant(0.3)
GRU_SCALE_INIT = nn.initializers.constant(0.7)


def layer_norm(
    x: Float[Array, "*B H"], scale: Float[Array, " H"], shift: Float[Array, " H"], epsilon: float
) -> Float[Array, "*B H"]:
    """Returns x with mean 0 and variance 1 over its last axis, then scaled and shifted."""
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)  # jnp.var has a NaN inside
    normalized = centered * jax.lax.rsqrt(variance + epsilon)
    return normalized * align(scale.astype(x.dtype), x) + align(shift.astype(x.dtype), x)


class LayerNormLSTMCarry(NamedTuple):
    cell: jax.Array  # [..., H], the normalised memory c
    hidden: jax.Array  # [..., H], the last output h


class LayerNormLSTMParams(NamedTuple):
    kernel: jax.Array  # [F + H, 4H], of [x, h]; TF's order: input i, new j, forget f, output o
    gate_scale: jax.Array  # [4, H]
    gate_shift: jax.Array  # [4, H]
    cell_scale: jax.Array  # [H]
    cell_shift: jax.Array  # [H]


class LayerNormLSTMCell(base.Cell):
    r"""TF1's `LayerNormBasicLSTMCell`, without its dropout.

    .. code-block:: text

      i, j, f, o = LN([x, h] W)          each by itself, over H
      c' = LN(sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j))
      h' = sigmoid(o) * activation(c')

    As in TF1, the memory is carried on normalised; the paper normalises it for the output alone,
    and the products of x and of h each by itself. LN has a scale and a shift, no bias is needed.
    Parameters: kernel `[F + H, 4H]`, gate_scale and gate_shift `[4, H]` (i, j, f, o), cell_scale
    and cell_shift `[H]`.

    Source: Ba et al., 2016.

    Attributes (more in `Cell`):
      forget_bias: added to the forget gate.
      activation: of the new memory and of the output.
      bias_init: of the shifts; zeros in TF1, with which a blank image makes the gradient infinite.
      epsilon: added to the variance; 1e-12 in TF1.
      scale_init: of the scales, TF1's `norm_gain`; 1 in TF1, with which it explodes over 784 steps.
    """

    forget_bias: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    bias_init: Initializer = SHIFT_INIT
    epsilon: float = 1e-3
    scale_init: Initializer = LSTM_SCALE_INIT

    carry_type = LayerNormLSTMCarry
    pointwise_params = ("gate_scale", "gate_shift", "cell_scale", "cell_shift")
    source = "Ba et al., 2016"

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features", "epsilon")

    @nn.compact
    def parameters(self, num_inputs: int) -> LayerNormLSTMParams:
        rows, units = num_inputs + self.features, self.features
        return LayerNormLSTMParams(
            kernel=self.weight("kernel", self.kernel_init, rows, 4 * units),
            gate_scale=self.weight("gate_scale", self.scale_init, 4, units),
            gate_shift=self.weight("gate_shift", self.bias_init, 4, units),
            cell_scale=self.weight("cell_scale", self.scale_init, units),
            cell_shift=self.weight("cell_shift", self.bias_init, units),
        )

    @nn.nowrap
    def products(self, params: LayerNormLSTMParams) -> Dense:
        return Dense(("inputs", "hidden"), params.kernel, gates=LSTM_GATES)

    @nn.nowrap
    def pointwise(
        self,
        params: LayerNormLSTMParams,
        carry: LayerNormLSTMCarry,
        products: tuple[jax.Array, ...],
    ) -> tuple[LayerNormLSTMCarry, jax.Array]:
        i, j, f, o = (
            layer_norm(product, params.gate_scale[n], params.gate_shift[n], self.epsilon)
            for n, product in enumerate(products)
        )
        cell = gate("forget", f + self.forget_bias) * carry.cell
        cell = cell + gate("input", i) * self.activation(j)
        cell = layer_norm(cell, params.cell_scale, params.cell_shift, self.epsilon)
        hidden = gate("output", o) * self.activation(cell)
        return LayerNormLSTMCarry(cell, hidden), hidden


class LayerNormGRUCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class LayerNormGRUParams(NamedTuple):
    input_kernel: jax.Array  # [F, 3H]; reset r, update u, candidate c
    recurrent_kernel: jax.Array  # [H, 3H]
    input_scale: jax.Array  # [3H]
    input_shift: jax.Array  # [3H]
    recurrent_scale: jax.Array  # [3H]
    recurrent_shift: jax.Array  # [3H]


class LayerNormGRUProducts(NamedTuple):
    of_inputs: Value  # [..., 3H]
    of_hidden: Value  # [..., 3H]


class LayerNormGRUCell(base.Cell):
    r"""The layer-normalised GRU of the paper's supplement.

    .. code-block:: text

      r, u = sigmoid(LN(x W_g) + LN(h U_g))          both gates as one, over 2H
      c = activation(LN(x W_c) + r * LN(h U_c))      over H
      h' = u * h + (1 - u) * c

    This h' is `GRUCell`'s; the paper's z is 1 - u, so that its weights of z are those of u negated.
    The reset gate comes after the product, as with `reset_after`. Others normalise each gate by
    itself, or the sum of both products. Parameters: input_kernel `[F, 3H]`, recurrent_kernel
    `[H, 3H]`, and of the products of each a scale and a shift, input_scale, input_shift,
    recurrent_scale and recurrent_shift `[3H]`; all in the order r, u, c.

    Source: Ba et al., 2016.

    Attributes (more in `Cell`):
      activation: of the candidate.
      bias_init: of the shifts; not zeros, with which a blank image makes the gradient infinite.
      epsilon: added to the variance.
      scale_init: of the scales; not 1, with which the gradient may explode over 784 steps.
    """

    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    bias_init: Initializer = SHIFT_INIT
    epsilon: float = 1e-3
    scale_init: Initializer = GRU_SCALE_INIT

    carry_type = LayerNormGRUCarry
    parameter_gates = MappingProxyType(
        dict.fromkeys(LayerNormGRUParams._fields, (*GRU_GATES, "candidate"))
    )
    pointwise_params = ("input_scale", "input_shift", "recurrent_scale", "recurrent_shift")
    source = "Ba et al., 2016"

    @nn.nowrap
    def check(self) -> None:
        base.check_positive(self, "features", "epsilon")

    @nn.compact
    def parameters(self, num_inputs: int) -> LayerNormGRUParams:
        units, columns = self.features, 3 * self.features
        return LayerNormGRUParams(
            input_kernel=self.weight("input_kernel", self.kernel_init, num_inputs, columns),
            recurrent_kernel=self.weight("recurrent_kernel", self.kernel_init, units, columns),
            input_scale=self.weight("input_scale", self.scale_init, columns),
            input_shift=self.weight("input_shift", self.bias_init, columns),
            recurrent_scale=self.weight("recurrent_scale", self.scale_init, columns),
            recurrent_shift=self.weight("recurrent_shift", self.bias_init, columns),
        )

    @nn.nowrap
    def products(self, params: LayerNormGRUParams) -> LayerNormGRUProducts:
        return LayerNormGRUProducts(
            of_inputs=Dense(("inputs",), params.input_kernel),
            of_hidden=Dense(("hidden",), params.recurrent_kernel),
        )

    @nn.nowrap
    def pointwise(
        self,
        params: LayerNormGRUParams,
        carry: LayerNormGRUCarry,
        products: LayerNormGRUProducts,
    ) -> tuple[LayerNormGRUCarry, jax.Array]:
        def normalize(*arrays: jax.Array) -> list[jax.Array]:
            """Returns the gates and the candidate: each a product, its scale and its shift."""
            blocks = zip(*(jnp.split(a, [2 * self.features], -1) for a in arrays), strict=True)
            return [layer_norm(*block, epsilon=self.epsilon) for block in blocks]

        of_inputs, of_hidden = products
        gates_x, candidate_x = normalize(of_inputs, params.input_scale, params.input_shift)
        gates_h, candidate_h = normalize(of_hidden, params.recurrent_scale, params.recurrent_shift)
        reset, update = gates(GRU_GATES, jnp.split(gates_x + gates_h, 2, axis=-1))
        candidate = self.activation(candidate_x + reset * candidate_h)
        hidden = update * carry.hidden + (1 - update) * candidate
        return LayerNormGRUCarry(hidden), hidden
