"""What takes the place of the scan on a GPU, cell by cell, where it is measured to be faster."""

from typing import Any, Literal

# By the class of a cell. Empty until `python -m benchmarks.recurrent` has been run on a GPU, with
# its contenders `rnnjax_fused` and `rnnjax_cudnn`; both are tested, on CPUs.
FASTER: dict[type[Any], Literal["fused", "cudnn"]] = {}
