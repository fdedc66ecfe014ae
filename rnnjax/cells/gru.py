"""The gated recurrent unit (Cho et al., "Learning phrase representations", 2014)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

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
    """One step of the equations in `GRUCell` with the reset before the product.

    Inputs `[..., F]`, output `[..., H]`.
    """
    (hidden,) = carry
    both = base.join(inputs, hidden, params.gates_kernel)
    gates = base.affine(both, params.gates_kernel, params.gates_bias)
    reset, update = jnp.split(jax.nn.sigmoid(gates.astype(hidden.dtype)), 2, axis=-1)
    candidate = activation(candidate_product(params, reset, hidden, inputs))
    new_hidden = update * hidden + (1 - update) * candidate
    return GRUCarry(new_hidden), new_hidden


def candidate_product(
    params: Any, reset: jax.Array, hidden: jax.Array, inputs: jax.Array
) -> jax.Array:
    """Returns the candidate before its activation, `[..., H]`; `GRUCell` has both its forms."""
    if params.recurrent_bias is not None:
        of_x, of_h = candidate_products(params, hidden, inputs)
        return of_x + reset * of_h
    both = base.join(inputs, reset * hidden, params.candidate_kernel)
    product = base.affine(both, params.candidate_kernel, params.candidate_bias)
    return product.astype(hidden.dtype)


def candidate_products(
    params: Any, hidden: jax.Array, inputs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the parts of x and of h, which is the one to be reset, of the candidate."""
    kernel_x, kernel_h = jnp.split(params.candidate_kernel, [inputs.shape[-1]])
    of_x = base.affine(inputs, kernel_x, params.candidate_bias)
    of_h = base.affine(hidden, kernel_h, params.recurrent_bias)
    return of_x.astype(hidden.dtype), of_h.astype(hidden.dtype)


class GRUProducts(NamedTuple):
    """With the reset after the product."""

    gates: jax.Array  # [..., 2H]
    of_inputs: jax.Array  # [..., H]
    of_hidden: jax.Array  # [..., H]


class GRUCell(base.Cell):
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

    Attributes (more in `Cell`):
      reset_after: apply the reset gate after the product with h instead of before.
      activation: of the candidate.
      gates_bias_init: of the bias of both gates; `bias_init` is of the candidate's.
    """

    reset_after: bool = False
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    gates_bias_init: Initializer = nn.initializers.ones

    carry_type = GRUCarry
    source = "Cho et al., 2014"

    @nn.compact
    def parameters(self, num_inputs: int) -> GRUParams:
        rows, units = num_inputs + self.features, self.features
        return GRUParams(
            gates_kernel=self.weight("gates_kernel", self.kernel_init, rows, 2 * units),
            gates_bias=self.weight("gates_bias", self.gates_bias_init, 2 * units),
            candidate_kernel=self.weight("candidate_kernel", self.kernel_init, rows, units),
            candidate_bias=self.weight("candidate_bias", self.bias_init, units),
            recurrent_bias=self.weight("recurrent_bias", self.bias_init, units)
            if self.reset_after
            else None,
        )

    @property
    def is_split(self) -> bool:
        own = type(self).step is GRUCell.step and type(self).__call__ is GRUCell.__call__
        return own and self.reset_after

    @nn.nowrap
    def products(self, params: GRUParams, carry: GRUCarry, inputs: jax.Array) -> GRUProducts:
        gates = base.joint_product(params.gates_kernel, params.gates_bias, carry.hidden, inputs)
        return GRUProducts(gates, *candidate_products(params, carry.hidden, inputs))

    @nn.nowrap
    def pointwise(
        self, params: GRUParams, carry: GRUCarry, products: GRUProducts
    ) -> tuple[GRUCarry, jax.Array]:
        reset, update = jnp.split(jax.nn.sigmoid(products.gates), 2, axis=-1)
        candidate = self.activation(products.of_inputs + reset * products.of_hidden)
        hidden = update * carry.hidden + (1 - update) * candidate
        return GRUCarry(hidden), hidden

    @nn.nowrap
    def step(
        self, params: GRUParams, carry: GRUCarry, inputs: jax.Array
    ) -> tuple[GRUCarry, jax.Array]:
        if self.reset_after:
            return super().step(params, carry, inputs)
        return gru_step(params, carry, inputs, activation=self.activation)
