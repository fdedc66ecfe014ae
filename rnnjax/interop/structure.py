"""What all frameworks share: a model's cells by their path, and the checks of shapes.

A framework says how one cell's parameters are saved, and how they load. What it saves also says
which arrays it expects: loading checks names and shapes against a save that is only traced.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Path = tuple[str, ...]  # of a cell, or an array, in a tree
Arrays = dict[Path, jax.Array]
ConvertCell = Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]]


class Format(NamedTuple):
    """How a framework keeps the weights of a cell."""

    framework: str
    cell_types: Collection[type]
    save_cell: ConvertCell  # from the cell and its parameters
    load_cell: ConvertCell  # from the cell and its arrays, its inverse


LONG_ENOUGH = 1024  # an axis of an image that no kernel exceeds; shapes alone cost nothing


def cells(model: nn.Module, form: Format) -> dict[Path, Any]:
    """Returns a model's cells by their path; raises a ValueError if the framework has no such."""
    found = _walk(model, ())
    for cell in found.values():
        if type(cell) not in form.cell_types:
            names = ", ".join(sorted(cell_type.__name__ for cell_type in form.cell_types))
            raise ValueError(f"{form.framework} has no {type(cell).__name__}, only: {names}")
    return found


def _walk(model: nn.Module, path: Path) -> dict[Path, Any]:
    """Returns the cells of a model by their path in its params, in the order of its fields."""
    children: dict[str, nn.Module] = {}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if isinstance(value, nn.Module) and field.name != "parent":
            children[field.name] = value
        elif isinstance(value, list | tuple):
            items = {f"{field.name}_{n}": item for n, item in enumerate(value)}
            children |= {name: item for name, item in items.items() if isinstance(item, nn.Module)}
    if not children:
        return {path: model}
    found: dict[Path, Any] = {}
    for name, child in children.items():
        found |= _walk(child, (*path, name))
    return found


def save(model: nn.Module, params: Any, form: Format) -> Arrays:
    """Returns each cell's saved arrays, by the cell's path and then their own name."""
    given = traverse_util.flatten_dict(params)
    own = form._replace(save_cell=_keep)
    expected = _expect(model, _num_inputs(model, given.get, own), own)
    check(_join_names(given), _join_names(expected))
    return _save(model, params, form)


def load(
    model: nn.Module,
    arrays: Mapping[str, Any],
    form: Format,
    name: Callable[[Path], str] = "/".join,
) -> Any:
    """Returns a model's params; `name` is the name in `arrays` of what `save` has at a path."""
    given = {key: as_array(array) for key, array in arrays.items()}
    num_inputs = _num_inputs(model, lambda path: given.get(name(path)), form)
    expected = _expect(model, num_inputs, form)
    check(given, {name(path): shape for path, shape in expected.items()})
    params: Arrays = {}
    for path, cell in cells(model, form).items():
        of_cell = {
            "/".join(key[len(path) :]): jnp.array(given[name(key)], shape.dtype)
            for key, shape in expected.items()
            if key[: len(path)] == path
        }
        params |= {(*path, key): array for key, array in form.load_cell(cell, of_cell).items()}
    return traverse_util.unflatten_dict(params)


def as_array(array: Any) -> jax.Array | np.ndarray:
    """Returns an array as JAX or NumPy knows it; a torch tensor need not be detached."""
    if isinstance(array, jax.Array):
        return array
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def check(given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises a ValueError that names the first array that is missing, misshapen or surplus."""
    for name, wanted in expected.items():
        if name not in given:
            raise ValueError(
                f"{name} of shape {wanted.shape} is missing; given are: {_list_shapes(given)}"
            )
        if np.shape(given[name]) != wanted.shape:
            raise ValueError(f"{name} must have shape {wanted.shape}, got {np.shape(given[name])}")
    for name, array in given.items():
        if name not in expected:
            raise ValueError(
                f"{name} of shape {np.shape(array)} has no place in the model, which takes: "
                f"{_list_shapes(expected)}"
            )


def require(framework: str, cell: Any, **allowed: Collection[Any]) -> None:
    """Raises a ValueError if a field of the cell has a value that the framework cannot have."""
    for field, values in allowed.items():
        value = getattr(cell, field)
        if value not in values:
            options = " or ".join(_label(option) for option in values)
            raise ValueError(
                f"{type(cell).__name__}: {field} must be {options} for weights of {framework}, "
                f"got {_label(value)}"
            )


def require_zero_biases(params: Any) -> None:
    """Raises a ValueError if there is a bias that a layer without biases would lose."""
    for path, array in traverse_util.flatten_dict(params).items():
        if path[-1].endswith("bias") and np.any(np.asarray(array)):
            raise ValueError(f"{'/'.join(path)} must be zero to be saved without biases")


def _list_shapes(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items())


def _join_names(arrays: Mapping[Path, Any]) -> dict[str, Any]:
    return {"/".join(path): array for path, array in arrays.items()}


def _label(value: Any) -> str:
    return getattr(value, "__name__", repr(value))


def _keep(cell: Any, params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    del cell
    return params


def _save(model: nn.Module, params: Any, form: Format) -> Arrays:
    arrays: Arrays = {}
    for path, cell in cells(model, form).items():
        saved = form.save_cell(cell, functools.reduce(lambda tree, key: tree[key], path, params))
        arrays |= {(*path, *key.split("/")): array for key, array in saved.items()}
    return arrays


def _expect(model: nn.Module, num_inputs: int, form: Format) -> dict[Path, Any]:
    """Returns the shapes and dtypes that `save` makes of a model for inputs of F features."""
    found = cells(model, form)
    spatial = (LONG_ENOUGH,) * (next(iter(found.values())).num_feature_axes - 1)
    args: tuple[Any, ...] = (jax.ShapeDtypeStruct((1, 1, *spatial, num_inputs), jnp.float32),)
    if isinstance(model, nn.RNNCellBase):
        shape = (1, *spatial, num_inputs)
        carry = jax.eval_shape(lambda: model.initialize_carry(jax.random.key(0), shape))
        args = (carry, jax.ShapeDtypeStruct(shape, jnp.float32))
    params = jax.eval_shape(model.init, jax.random.key(0), *args)["params"]
    for path in traverse_util.flatten_dict(params):
        if path[:-1] not in found:
            raise ValueError(f"{'/'.join(path)} is a wrapper's own: only the cells in it convert")
    return jax.eval_shape(lambda params: _save(model, params, form), params)


def _num_inputs(model: nn.Module, find: Callable[[Path], Any], form: Format) -> int:
    """Returns the number of input features, by the arrays of the first cell.

    Which axis of which array tells is seen from what one more feature changes.
    """
    path, cell = next(iter(cells(model, form).items()))
    two = _expect(cell, 2, form)
    for key, one in _expect(cell, 1, form).items():
        got = np.shape(find((*path, *key)))
        for axis, size in enumerate(one.shape):
            if size != two[key].shape[axis] and len(got) == len(one.shape):
                return max(1, 1 + got[axis] - size)
    return 1
