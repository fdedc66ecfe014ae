"""Which arrays and which cells convert: a ValueError names the first that does not."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax.typing import ArrayLike


def check_arrays(
    arrays: Mapping[str, ArrayLike], expected: Mapping[str, ArrayLike | jax.ShapeDtypeStruct]
) -> None:
    """Raises a ValueError that names the first array that is missing, misshapen or surplus."""
    for name, struct in expected.items():
        shape = np.shape(struct)
        if name not in arrays:
            raise ValueError(
                f"{name} of shape {shape} is missing; the arrays are: {_list_shapes(arrays)}"
            )
        if np.shape(arrays[name]) != shape:
            raise ValueError(f"{name} must have shape {shape}, got {np.shape(arrays[name])}")
    for name, array in arrays.items():
        if name not in expected:
            raise ValueError(
                f"{name} of shape {np.shape(array)} is surplus: the model has only "
                f"{_list_shapes(expected)}"
            )


def check_fields(framework: str, cell: Any, **allowed: Collection[Any]) -> None:
    """Raises a ValueError if a field of the cell has a value that the framework cannot have.

    Args:
      framework: its name.
      cell: has the fields.
      **allowed: the values that the framework can have, by field.
    """
    for field, values in allowed.items():
        value = getattr(cell, field)
        if value not in values:
            options = " or ".join(_label(option) for option in values)
            raise ValueError(
                f"{type(cell).__name__}: {field} must be {options} for weights of {framework}, "
                f"got {_label(value)}"
            )


def check_biases_are_zero(params: Mapping[str, Any]) -> None:
    """Raises a ValueError for a bias that a layer without biases would lose."""
    for path, array in traverse_util.flatten_dict(params).items():
        if path[-1].endswith("bias") and np.any(np.asarray(array)):
            raise ValueError(f"{'/'.join(path)} must be zero to be saved without biases")


def _list_shapes(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items())


def _label(value: Any) -> str:
    return getattr(value, "__name__", repr(value))
