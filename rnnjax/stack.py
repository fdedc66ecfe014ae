"""Several cells as one."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax


class Stack(nn.RNNCellBase):
    """TF1's `MultiRNNCell`: each cell's output is the next one's input, within a step.

    The carry is a tuple of the cells' carries, the first layer's first.

    Attributes:
      cells: the layers, the one that sees the inputs first.
    """

    cells: Sequence[nn.RNNCellBase]

    def __call__(
        self, carry: tuple[Any, ...], inputs: jax.Array
    ) -> tuple[tuple[Any, ...], jax.Array]:
        if not self.cells:
            raise ValueError("Stack: cells must name at least one cell")
        if type(carry) is not tuple or len(carry) != len(self.cells):
            raise ValueError(
                f"Stack: carry must be a tuple of one carry for each of {len(self.cells)} cells, "
                f"got {carry}"
            )
        new_carries = []
        for cell, cell_carry in zip(self.cells, carry, strict=True):
            new_carry, inputs = cell(cell_carry, inputs)
            new_carries.append(new_carry)
        return tuple(new_carries), inputs

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> tuple[Any, ...]:
        # A carry's shape follows from the batch, the cell and the spatial axes, not from how many
        # features come in, so that the first layer's input shape serves all.
        keys = jax.random.split(rng, len(self.cells))
        return tuple(
            cell.initialize_carry(key, input_shape)
            for key, cell in zip(keys, self.cells, strict=True)
        )

    @property
    def num_feature_axes(self) -> int:
        return self.cells[0].num_feature_axes
