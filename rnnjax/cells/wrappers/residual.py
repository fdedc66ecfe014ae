"""A residual connection around a cell: its inputs added to its outputs."""

import jax

from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.base import Wrapper, check_same_shape


class ResidualCell(Wrapper):
    """`y' = x + y`: TF1's `ResidualWrapper` (Wu et al., 2016; He et al., 2015).

    Inputs and outputs of the inner cell must have the same shape, or a ValueError says so.
    """

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, jax.Array]:
        new_carry, outputs = self.inner(carry, inputs)
        check_same_shape(self, inputs, outputs)
        return new_carry, inputs.astype(outputs.dtype) + outputs
