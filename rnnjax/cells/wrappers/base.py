"""A cell around a cell."""

import flax.linen as nn
import jax

from rnnjax.cells.types import Carry


class Wrapper(nn.RNNCellBase):
    """A cell around a cell, with the same carry.

    Attributes:
      inner: the cell; any that keeps the contract, wrapped or not, ours or flax's.
    """

    inner: nn.RNNCellBase

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Carry:
        return self.inner.initialize_carry(rng, input_shape)

    @property
    def num_feature_axes(self) -> int:
        return self.inner.num_feature_axes


def check_same_shape(cell: Wrapper, inputs: jax.Array, outputs: jax.Array) -> None:
    if inputs.shape != outputs.shape:
        raise ValueError(
            f"{type(cell).__name__}: inputs must have the shape of the inner cell's outputs, "
            f"{outputs.shape}, got {inputs.shape}"
        )
