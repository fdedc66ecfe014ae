"""The weights of a whole model, converted cell by cell.

A framework says how it saves one cell's parameters, and how it loads them. Loading needs no second
description of what to expect: it compares names and shapes with a save that is traced, not run.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import traverse_util

from rnnjax.cells import Cell
from rnnjax.interop.checks import check_arrays

Params = Mapping[str, Any]  # of a model: arrays by name, nested by the names of its modules
Path = tuple[str, ...]  # of a cell or an array: the names of the modules around it, and its own
LoadedArrays = Mapping[str, jax.Array]  # of one cell, by name
SavedArrays = Mapping[str, jax.Array | np.ndarray]  # the same; params may be NumPy arrays

# An image's height and width where only shapes are computed: larger than any kernel.
IMAGE_SIZE = 1024


class Framework(NamedTuple):
    """How a framework stores the weights of a cell."""

    name: str
    cell_types: Collection[type[Cell]]
    save_cell: Callable[[Any, SavedArrays], SavedArrays]  # from the cell and its parameters
    load_cell: Callable[
        [Any, LoadedArrays], LoadedArrays
    ]  # from the cell and the framework's arrays; the inverse


def cells_by_path(model: nn.Module, framework: Framework) -> dict[Path, Cell]:
    """Returns a model's cells by their path in its params, in the order of the modules' fields.

    Raises:
      ValueError: if the framework does not have one of them.
    """
    cells: dict[Path, Any] = _walk(model, ())
    for cell in cells.values():
        if type(cell) not in framework.cell_types:
            names = ", ".join(sorted(cell_type.__name__ for cell_type in framework.cell_types))
            raise ValueError(f"{framework.name} has no {type(cell).__name__}, only: {names}")
    return cells


def _walk(module: nn.Module, path: Path) -> dict[Path, nn.Module]:
    """Returns the modules within that have no further modules in their fields, by path."""
    children: dict[str, nn.Module] = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if isinstance(value, nn.Module) and field.name != "parent":
            children[field.name] = value
        elif isinstance(value, list | tuple):
            items = {f"{field.name}_{n}": item for n, item in enumerate(value)}
            children |= {name: item for name, item in items.items() if isinstance(item, nn.Module)}
    if not children:
        return {path: module}
    cells: dict[Path, nn.Module] = {}
    for name, child in children.items():
        cells |= _walk(child, (*path, name))
    return cells


def save(
    model: nn.Module, params: Params, framework: Framework
) -> dict[Path, jax.Array | np.ndarray]:
    """Returns the framework's arrays: by the cell's path in the model, then by the array's name.

    Raises:
      ValueError: for params that are not the model's, and for a cell that the framework does not
        have.
    """
    flat: dict[Path, Any] = traverse_util.flatten_dict(params)
    shapes = {path: np.shape(array) for path, array in flat.items()}
    unchanged = framework._replace(save_cell=_unchanged)
    num_features = _num_features(model, lambda path: shapes.get(path, ()), unchanged)
    expected = _saved_shapes(model, num_features, unchanged)
    check_arrays(_join_names(flat), _join_names(expected))
    return _save(model, params, framework)


def load(
    model: nn.Module,
    arrays: Mapping[str, npt.ArrayLike],
    framework: Framework,
    name: Callable[[Path], str] = "/".join,
) -> dict[str, Any]:
    """Returns a model's params from a framework's arrays, in the dtypes of the model's parameters.

    Args:
      model: says which cells there are.
      arrays: by the framework's names.
      framework: that they come from.
      name: of what `save` returns at a path.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a cell that the
        framework does not have.
    """
    converted = {key: _as_array(array) for key, array in arrays.items()}
    shapes = {key: array.shape for key, array in converted.items()}
    num_features = _num_features(model, lambda path: shapes.get(name(path), ()), framework)
    expected = _saved_shapes(model, num_features, framework)
    check_arrays(converted, {name(path): struct for path, struct in expected.items()})
    params: dict[Path, Any] = {}
    for path, cell in cells_by_path(model, framework).items():
        cell_arrays = {
            "/".join(key[len(path) :]): jnp.array(converted[name(key)], struct.dtype)
            for key, struct in expected.items()
            if key[: len(path)] == path
        }
        cell_params = framework.load_cell(cell, cell_arrays)
        params |= {(*path, key): array for key, array in cell_params.items()}
    return traverse_util.unflatten_dict(params)


def _as_array(array: Any) -> jax.Array | np.ndarray:
    """Returns an array of JAX's or NumPy's; a torch tensor may require gradients."""
    if isinstance(array, jax.Array):
        return array
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        # NumPy has no bfloat16 that torch would know; a float32 holds each exactly.
        array = array.float() if "bfloat16" in str(array.dtype) else array
    return np.asarray(array)


def _join_names(arrays: Mapping[Path, Any]) -> dict[str, Any]:
    return {"/".join(path): array for path, array in arrays.items()}


def _unchanged(cell: Cell, params: SavedArrays) -> SavedArrays:
    del cell
    return params


def _save(
    model: nn.Module, params: Params, framework: Framework
) -> dict[Path, jax.Array | np.ndarray]:
    arrays: dict[Path, jax.Array | np.ndarray] = {}
    for path, cell in cells_by_path(model, framework).items():
        cell_params: Any = functools.reduce(lambda tree, key: tree[key], path, params)
        saved = framework.save_cell(cell, cell_params)
        arrays |= {(*path, *key.split("/")): array for key, array in saved.items()}
    return arrays


def _saved_shapes(
    model: nn.Module, num_features: int, framework: Framework
) -> dict[Path, jax.ShapeDtypeStruct]:
    """Returns the shapes and dtypes that `save` gives for a model with inputs of F features."""
    cells = cells_by_path(model, framework)
    image = (IMAGE_SIZE,) * (next(iter(cells.values())).num_feature_axes - 1)
    args: tuple[Any, ...] = (jax.ShapeDtypeStruct((1, 1, *image, num_features), jnp.float32),)
    if isinstance(model, nn.RNNCellBase):
        shape = (1, *image, num_features)
        carry = jax.eval_shape(lambda: model.initialize_carry(jax.random.key(0), shape))
        args = (carry, jax.ShapeDtypeStruct(shape, jnp.float32))
    params = jax.eval_shape(model.init, jax.random.key(0), *args)["params"]
    for path in traverse_util.flatten_dict(params):
        if path[:-1] not in cells:
            raise ValueError(f"{'/'.join(path)} is a wrapper's own: only the cells in it convert")
    return jax.eval_shape(lambda params: _save(model, params, framework), params)


def _num_features(
    model: nn.Module, shape_at: Callable[[Path], tuple[int, ...]], framework: Framework
) -> int:
    """Returns the number of input features, by the shapes of the first cell's arrays.

    The axis that counts them is the one whose size differs between saves for 1 and 2 features.
    """
    path, cell = next(iter(cells_by_path(model, framework).items()))
    for_two = _saved_shapes(cell, 2, framework)
    for key, for_one in _saved_shapes(cell, 1, framework).items():
        shape = shape_at((*path, *key))
        for axis, size in enumerate(for_one.shape):
            if size != for_two[key].shape[axis] and len(shape) == len(for_one.shape):
                return max(1, 1 + shape[axis] - size)
    return 1
