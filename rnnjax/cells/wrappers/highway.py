"""A highway connection around a cell: gates between its inputs and its outputs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.cells import base
from rnnjax.cells.gates import gate
from rnnjax.cells.linear import affine
from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.base import Wrapper, check_same_shape


class HighwayCell(Wrapper):
    """Gates between a cell's inputs and outputs: TF1's `HighwayWrapper` (Srivastava et al., 2015).

    .. code-block:: text

      c = sigmoid(x W_c + b_c)
      t = 1 - c                            couple_gates=True
      t = sigmoid(x W_t + b_t)             couple_gates=False
      y' = c * x + t * y

    Inputs and outputs of the inner cell must have the same shape `[..., F]`, or a ValueError says
    so. Parameters: carry_kernel `[F, F]`, carry_bias `[F]`; uncoupled also transform_kernel and
    transform_bias.

    Attributes (and those of `Wrapper`):
      couple_gates: one gate for both.
      carry_bias: b_c starts here, b_t at its negative: above 0 favours the inputs.
      dtype: of the products; None: that of the parameters.
      param_dtype: of the parameters.
    """

    couple_gates: bool = True
    carry_bias: float = 1.0
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, jax.Array]:
        new_carry, outputs = self.inner(carry, inputs)
        check_same_shape(self, inputs, outputs)
        through = self._gate("carry", inputs, self.carry_bias).astype(outputs.dtype)
        if self.couple_gates:
            transform = 1 - through
        else:
            transform = self._gate("transform", inputs, -self.carry_bias).astype(outputs.dtype)
        return new_carry, through * inputs.astype(outputs.dtype) + transform * outputs

    def _gate(self, name: str, inputs: jax.Array, bias: float) -> jax.Array:
        width = inputs.shape[-1]
        kernel_init, bias_init = nn.initializers.glorot_uniform(), nn.initializers.constant(bias)
        kernel = self.param(f"{name}_kernel", kernel_init, (width, width), self.param_dtype)
        offset = self.param(f"{name}_bias", bias_init, (width,), self.param_dtype)
        return gate(name, affine((inputs,), *base.cast((kernel, offset), self.dtype)))
