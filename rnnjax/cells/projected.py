"""A cell with a memory beside its output, which may be projected to another width."""

import flax.linen as nn
from jaxtyping import Array, PRNGKeyArray

from rnnjax.cells.base import Cell, check_positive
from rnnjax.cells.types import Carry


class ProjectedCell(Cell):
    """A cell with a memory, whose output may be projected to another width than H.

    Its carry has the fields `cell`, `[..., H]`, and `hidden`, `[..., P]`.

    Attributes (more in `Cell`):
      projection_size: width P of the output; None: H, without a projection.
    """

    projection_size: int | None = None

    @property
    def output_size(self) -> int:
        return self.features if self.projection_size is None else self.projection_size

    @nn.nowrap
    def check(self) -> None:
        check_positive(self, "features", "projection_size")

    def projection(self) -> Array | None:
        """Declares the projection `[H, P]`, if there is one."""
        if self.projection_size is None:
            return None
        return self.weight("projection", self.kernel_init, self.features, self.projection_size)

    @nn.nowrap
    def initialize_carry(self, rng: PRNGKeyArray, input_shape: tuple[int, ...]) -> Carry:
        del rng
        return self.carry_type(
            cell=self.zeros(input_shape, self.features),
            hidden=self.zeros(input_shape, self.output_size),
        )
