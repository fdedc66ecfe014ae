"""The minimal gated unit (Zhou et al., "Minimal gated unit for recurrent neural networks", 2016).

A gated recurrent unit whose only gate both resets and updates.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.gru import GRUProducts, check_reset, reset_after_products
from rnnjax.cells.linear import Dense, affine


class MGUCarry(NamedTuple):
    hidden: jax.Array  # [..., H]


class MGUParams(NamedTuple):
    forget_kernel: jax.Array  # [F + H, H], of [x, h]
    forget_gate_bias: jax.Array  # [H]
    candidate_kernel: jax.Array  # [F + H, H]
    candidate_bias: jax.Array  # [H]
    recurrent_bias: jax.Array | None = None  # [H]; if there is one, the gate comes after


class MGUCell(base.Cell):
    r"""The paper's minimal gated unit; with `reset_after`, the one of flax.

    .. code-block:: text

      f = sigmoid([x, h] W_f + b_f)

      c = activation(x W_c + (f * h) U_c + b_c)                  reset_after=False
      h' = (1 - f) * h + f * c

      c = activation(x W_c + b_c + f * (h U_c + b_r))            reset_after=True
      h' = f * h + (1 - f) * c

    An f of 1 so takes the candidate in the paper, but keeps the state in flax, which therefore
    starts b_f at 1, here `forget_gate_bias_init=nn.initializers.ones`; its weights load. TF1, torch
    and Keras have no such cell. Parameters: forget_kernel `[F + H, H]`, forget_gate_bias `[H]`,
    candidate_kernel `[F + H, H]` (W above U), candidate_bias `[H]`, with `reset_after` also
    recurrent_bias `[H]`.

    Source: Zhou et al., 2016.

    Attributes (more in `Cell`):
      reset_after: apply the gate after the product with h instead of before, and swap its ends.
      activation: of the candidate.
      forget_gate_bias_init: of the gate's bias; `bias_init` is of the candidate's.
    """

    reset_after: bool = False
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    forget_gate_bias_init: Initializer = nn.initializers.zeros

    carry_type = MGUCarry
    source = "Zhou et al., 2016"

    @nn.compact
    def parameters(self, num_inputs: int) -> MGUParams:
        rows, units = num_inputs + self.features, self.features
        return MGUParams(
            forget_kernel=self.weight("forget_kernel", self.kernel_init, rows, units),
            forget_gate_bias=self.weight("forget_gate_bias", self.forget_gate_bias_init, units),
            candidate_kernel=self.weight("candidate_kernel", self.kernel_init, rows, units),
            candidate_bias=self.weight("candidate_bias", self.bias_init, units),
            recurrent_bias=self.weight("recurrent_bias", self.bias_init, units)
            if self.reset_after
            else None,
        )

    @nn.nowrap
    def check(self) -> None:
        super().check()
        check_reset(self, MGUCell)

    @property
    def is_factored(self) -> bool:
        methods = type(self).step, type(self).__call__
        return self.reset_after and methods == (MGUCell.step, MGUCell.__call__)

    @nn.nowrap
    def products(self, params: MGUParams) -> GRUProducts:
        """Declares the products of `reset_after`."""
        assert params.recurrent_bias is not None
        return reset_after_products(
            Dense(("inputs", "hidden"), params.forget_kernel, params.forget_gate_bias),
            params.candidate_kernel,
            params.candidate_bias,
            params.recurrent_bias,
            self.features,
        )

    @nn.nowrap
    def pointwise(
        self, params: MGUParams, carry: MGUCarry, products: GRUProducts
    ) -> tuple[MGUCarry, jax.Array]:
        del params
        forget = gate("forget", products.gates)
        candidate = self.activation(products.of_inputs + forget * products.of_hidden)
        hidden = forget * carry.hidden + (1 - forget) * candidate
        return MGUCarry(hidden), hidden

    @nn.nowrap
    def step(
        self, params: MGUParams, carry: MGUCarry, inputs: jax.Array
    ) -> tuple[MGUCarry, jax.Array]:
        if self.reset_after:
            return super().step(params, carry, inputs)
        (hidden,), params = carry, self.cast(params)
        product = affine((inputs, hidden), params.forget_kernel, params.forget_gate_bias)
        forget = gate("forget", product.astype(hidden.dtype))
        product = affine((inputs, forget * hidden), params.candidate_kernel, params.candidate_bias)
        candidate = self.activation(product.astype(hidden.dtype))
        new_hidden = (1 - forget) * hidden + forget * candidate
        return MGUCarry(new_hidden), new_hidden
