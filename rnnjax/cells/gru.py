"""The gated recurrent unit (Cho et al., "Learning phrase representations", 2014)."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from rnnjax.cells import base


class GRUCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class GRUParams(NamedTuple):
    gates_kernel: jax.Array  # [F + H, 2H], of [x, h]; reset r, then update u
    gates_bias: jax.Array  # [2H]
    candidate_kernel: jax.Array  # [F + H, H]
    candidate_bias: jax.Array  # [H]
    recurrent_bias: jax.Array | None = None  # [H]; if there is one, the reset comes after


def gru_step(
    params: GRUParams,
    carry: GRUCarry,
    inputs: jax.Array,
    *,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> tuple[GRUCarry, jax.Array]:
    """One step of the equations in `GRUCell`; inputs `[..., F]`, output `[..., H]`."""
    (hidden,) = carry
    both = base.join(inputs, hidden, params.gates_kernel)
    gates = base.affine(both, params.gates_kernel, params.gates_bias)
    reset, update = jnp.split(jax.nn.sigmoid(gates.astype(hidden.dtype)), 2, axis=-1)
    if params.recurrent_bias is not None:
        kernel_x, kernel_h = jnp.split(params.candidate_kernel, [inputs.shape[-1]])
        of_x = base.affine(inputs, kernel_x, params.candidate_bias)
        of_h = base.affine(hidden, kernel_h, params.recurrent_bias)
        candidate = of_x.astype(hidden.dtype) + reset * of_h.astype(hidden.dtype)
    else:
        both = base.join(inputs, reset * hidden, params.candidate_kernel)
        candidate = base.affine(both, params.candidate_kernel, params.candidate_bias)
        candidate = candidate.astype(hidden.dtype)
    new_hidden = update * hidden + (1 - update) * activation(candidate)
    return GRUCarry(new_hidden), new_hidden.astype(params.gates_kernel.dtype)


class GRUCell(nn.RNNCellBase):
    r"""TF1's `GRUCell`; with `reset_after`, the one of cuDNN, torch, flax and Keras' default.

    .. code-block:: text

      r, u = sigmoid([x, h] W_g + b_g)
      c = activation(x W_c + (r * h) U_c + b_c)                  reset_after=False
      c = activation(x W_c + b_c + r * (h U_c + b_r))            reset_after=True
      h' = u * h + (1 - u) * c

    This h' is the paper's, torch's, Keras' and flax's, which call the update gate z; in Chung et
    al. (2014) u and 1 - u stand the other way round. Parameters: gates_kernel `[F + H, 2H]`,
    gates_bias `[2H]` (starts at 1, as in TF1), candidate_kernel `[F + H, H]`, candidate_bias `[H]`,
    with `reset_after` also recurrent_bias `[H]`.

    Attributes:
      features: units H.
      reset_after: apply the reset gate after the product with h instead of before.
      activation: of the candidate.
      kernel_init: of each kernel; TF1's default, Glorot uniform.
      gates_bias_init: of the bias of both gates.
      bias_init: of the candidate's biases.
      dtype: of the products and the output; None: `param_dtype`.
      param_dtype: of the parameters and of the initial carry.
    """

    features: int
    reset_after: bool = False
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    gates_bias_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, carry: GRUCarry, inputs: jax.Array) -> tuple[GRUCarry, jax.Array]:
        base.check_positive(self, "features")
        base.check_carry(self, carry, GRUCarry)
        rows, units, dtype = inputs.shape[-1] + self.features, self.features, self.param_dtype
        params = GRUParams(
            gates_kernel=self.param("gates_kernel", self.kernel_init, (rows, 2 * units), dtype),
            gates_bias=self.param("gates_bias", self.gates_bias_init, (2 * units,), dtype),
            candidate_kernel=self.param("candidate_kernel", self.kernel_init, (rows, units), dtype),
            candidate_bias=self.param("candidate_bias", self.bias_init, (units,), dtype),
            recurrent_bias=self.param("recurrent_bias", self.bias_init, (units,), dtype)
            if self.reset_after
            else None,
        )
        params = base.cast(params, self.dtype)
        return gru_step(params, carry, inputs, activation=self.activation)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> GRUCarry:
        del rng  # zeros, as TF1's zero_state
        return GRUCarry(base.zeros(input_shape, self.features, self.param_dtype))

    @property
    def num_feature_axes(self) -> int:
        return 1
