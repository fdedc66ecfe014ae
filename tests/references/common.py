"""What the references share.

Each file beside this one holds the published equations of some cells: one time step, one example
and one gate at a time, in NumPy float64. They were written from the papers and TensorFlow 1's
semantics, before the library's code was read, and as literally as possible: nothing is fused
or batched that the equations do not fuse.

`REFERENCES` maps a registered name to `(params, carry, x, options) -> (new carry, output)`, where
`options` holds the cell's fields that differ from their defaults. `CASES` lists the settings under
which the tests compare, each option at least once.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]
Options = Mapping[str, Any]
Activation = Callable[[Array], Array]
Reference = Callable[[Arrays, Arrays, Array, Options], tuple[dict[str, Array], Array]]


class Case(NamedTuple):
    name: str  # in CELLS
    options: dict[str, Any]


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def softsign(x: Any) -> Any:
    """An activation that is not the default, for NumPy's arrays and JAX's alike."""
    return x / (1 + abs(x))
