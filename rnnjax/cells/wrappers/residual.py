"""A way past a cell in depth that adds its inputs."""

from typing import Any

import jax

from rnnjax.cells.wrappers.base import Wrapper, check_same_shape


class ResidualCell(Wrapper):
    """`y' = x + y`: TF1's `ResidualWrapper` (Wu et al., 2016; He et al., 2015).

    Inputs and outputs of the inner cell must have the same shape, or a ValueError says so.
    """

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        new_carry, outputs = self.inner(carry, inputs)
        check_same_shape(self, inputs, outputs)
        return new_carry, inputs.astype(outputs.dtype) + outputs
