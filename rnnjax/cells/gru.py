"""The gated recurrent unit (Cho et al., "Learning phrase representations", 2014)."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells import base
from rnnjax.cells.gates import gates
from rnnjax.cells.linear import Dense, affine
from rnnjax.cells.types import Value

GRU_GATES = ("reset", "update")


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
    product = affine((inputs, hidden), params.gates_kernel, params.gates_bias)
    reset, update = gates(GRU_GATES, jnp.split(product.astype(hidden.dtype), 2, axis=-1))
    product = affine((inputs, reset * hidden), params.candidate_kernel, params.candidate_bias)
    candidate = activation(product.astype(hidden.dtype))
    new_hidden = update * hidden + (1 - update) * candidate
    return GRUCarry(new_hidden), new_hidden


class GRUProducts(NamedTuple):
    """With the reset after the product."""

    gates: Value  # reset and update, [..., H] each
    of_inputs: Value  # [..., H], the candidate's part
    of_hidden: Value  # [..., H], the candidate's part that is reset


def reset_after_products(
    gates: Dense, kernel: jax.Array, bias: jax.Array, recurrent_bias: jax.Array, units: int
) -> GRUProducts:
    """Declares a candidate `[F + H, H]` whose part of h waits for its gate."""
    return GRUProducts(
        gates=gates,
        of_inputs=Dense(("inputs",), kernel[:-units], bias),
        of_hidden=Dense(("hidden",), kernel[-units:], recurrent_bias),
    )


def check_reset(cell: Any, cell_type: type[base.Cell]) -> None:
    """Raises a ValueError if a subclass gives what only `reset_after` reads."""
    given = type(cell).pointwise, type(cell).products
    if not cell.reset_after and given != (cell_type.pointwise, cell_type.products):
        raise ValueError(
            f"{type(cell).__name__}: pointwise and products are read with reset_after=True alone; "
            "override step"
        )


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
    parameter_gates = MappingProxyType({"gates_kernel": GRU_GATES, "gates_bias": GRU_GATES})
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

    @nn.nowrap
    def check(self) -> None:
        super().check()
        check_reset(self, GRUCell)

    @property
    def is_factored(self) -> bool:
        methods = type(self).step, type(self).__call__
        return self.reset_after and methods == (GRUCell.step, GRUCell.__call__)

    @nn.nowrap
    def products(self, params: GRUParams) -> GRUProducts:
        """Declares the products of `reset_after`."""
        assert params.recurrent_bias is not None
        return reset_after_products(
            Dense(("inputs", "hidden"), params.gates_kernel, params.gates_bias, GRU_GATES),
            params.candidate_kernel,
            params.candidate_bias,
            params.recurrent_bias,
            self.features,
        )

    @nn.nowrap
    def pointwise(
        self, params: GRUParams, carry: GRUCarry, products: GRUProducts
    ) -> tuple[GRUCarry, jax.Array]:
        del params
        reset, update = gates(GRU_GATES, products.gates)
        candidate = self.activation(products.of_inputs + reset * products.of_hidden)
        hidden = update * carry.hidden + (1 - update) * candidate
        return GRUCarry(hidden), hidden

    @nn.nowrap
    def step(
        self, params: GRUParams, carry: GRUCarry, inputs: jax.Array
    ) -> tuple[GRUCarry, jax.Array]:
        if self.reset_after:
            return super().step(params, carry, inputs)
        return gru_step(self.cast(params), carry, inputs, activation=self.activation)
