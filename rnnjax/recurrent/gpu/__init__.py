"""What takes the place of the scan on a GPU, cell by cell, where it is measured to be faster."""

from typing import Any, Literal

import jax

# By the class of a cell. Empty until `python -m benchmarks.recurrent --gpu` has been run on one;
# both ways are tested, on CPUs.
FASTER: dict[type[Any], Literal["fused", "cudnn"]] = {}


def faster(cell: Any, arrays: Any) -> Literal["fused", "cudnn"] | None:
    """Returns what is faster for a cell than the scan; None: nothing is, or it cannot be used.

    A kernel does not say which of its results differ between the devices of a `shard_map`, as that
    asks of every function while it checks them.
    """
    way = FASTER.get(type(cell))
    if way is None or any(
        jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(arrays)
    ):
        return None
    return way
