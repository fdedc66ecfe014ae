"""What all frameworks share: a model's cells by their path, and the checks of shapes.

A framework says how one cell's parameters are saved, and how they load. What it saves also says
which arrays it expects: loading checks names and shapes against a save that is only traced.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Path = tuple[str, ...]  # of a cell, or an array, in a tree
Arrays = dict[Path, jax.Array]
ConvertCell = Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]]

LONG_ENOUGH = 1024  # an axis of an image that no kernel exceeds; shapes alone cost nothing


def cells(model: nn.Module, path: Path = ()) -> dict[Path, Any]:
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
        found |= cells(child, (*path, name))
    return found


def save(model: nn.Module, params: Any, save_cell: ConvertCell) -> Arrays:
    """Returns each cell's saved arrays, by the cell's path and then their own name."""
    given = traverse_util.flatten_dict(params)
    expected = _shapes_for(given, functools.partial(_param_shapes, model))
    check(_join_names(given), _join_names(expected))
    return _save(model, params, save_cell)


def load(
    model: nn.Module,
    arrays: Mapping[str, Any],
    save_cell: ConvertCell,
    load_cell: ConvertCell,
    name: Callable[[Path], str] = "/".join,
) -> Any:
    """Returns a model's params; `name` is the name in `arrays` of what `save` has at a path."""
    given = {array_name: as_array(array) for array_name, array in arrays.items()}

    def expect(num_inputs: int) -> dict[Path, Any]:
        params = traverse_util.unflatten_dict(_param_shapes(model, num_inputs))
        return jax.eval_shape(lambda params: _save(model, params, save_cell), params)

    names = {path: name(path) for path in expect(1)}
    found = {path: given[key] for path, key in names.items() if key in given}
    expected = _shapes_for(found, expect)
    check(given, {names[path]: shape for path, shape in expected.items()})
    found = {path: jnp.array(found[path], shape.dtype) for path, shape in expected.items()}
    params: Arrays = {}
    for path, cell in cells(model).items():
        depth = len(path)
        of_cell = {"/".join(p[depth:]): a for p, a in found.items() if p[:depth] == path}
        params |= {(*path, key): array for key, array in load_cell(cell, of_cell).items()}
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


def require_type(framework: str, cell: Any, types: Collection[type]) -> None:
    """Raises a ValueError if the framework has no such cell."""
    if type(cell) not in types:
        names = ", ".join(sorted(cell_type.__name__ for cell_type in types))
        raise ValueError(f"{framework} has no {type(cell).__name__}, only: {names}")


def require_zero_biases(params: Any) -> None:
    """Raises a ValueError if there is a bias that a layer without biases would lose."""
    for path, array in traverse_util.flatten_dict(params).items():
        if path[-1].endswith("bias") and np.any(array):
            raise ValueError(f"{'/'.join(path)} must be zero to be saved without biases")


def _list_shapes(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items())


def _join_names(arrays: Mapping[Path, Any]) -> dict[str, Any]:
    return {"/".join(path): array for path, array in arrays.items()}


def _label(value: Any) -> str:
    return getattr(value, "__name__", repr(value))


def _save(model: nn.Module, params: Any, save_cell: ConvertCell) -> Arrays:
    arrays: Arrays = {}
    for path, cell in cells(model).items():
        own = functools.reduce(lambda tree, key: tree[key], path, params)
        saved = save_cell(cell, own)
        arrays |= {(*path, *key.split("/")): array for key, array in saved.items()}
    return arrays


def _param_shapes(model: nn.Module, num_inputs: int) -> dict[Path, Any]:
    """Returns the shapes of a model's params for inputs of so many features."""
    spatial = (LONG_ENOUGH,) * (next(iter(cells(model).values())).num_feature_axes - 1)
    if isinstance(model, nn.RNNCellBase):
        shape = (1, *spatial, num_inputs)
        carry = jax.eval_shape(lambda: model.initialize_carry(jax.random.key(0), shape))
        args = (carry, jax.ShapeDtypeStruct(shape, jnp.float32))
    else:
        args = (jax.ShapeDtypeStruct((1, 1, *spatial, num_inputs), jnp.float32),)
    variables = jax.eval_shape(model.init, jax.random.key(0), *args)
    return traverse_util.flatten_dict(variables["params"])


def _shapes_for(given: Mapping[Any, Any], expect: Callable[[int], dict[Any, Any]]) -> Any:
    """Returns the expected shapes, for as many input features as the first array given has.

    Which of its axes tells is seen from what one more input feature changes.
    """
    for (key, one), two in zip(expect(1).items(), expect(2).values(), strict=True):
        got = np.shape(given.get(key, ()))
        for axis in range(len(one.shape) if len(got) == len(one.shape) else 0):
            if one.shape[axis] != two.shape[axis]:
                return expect(max(1, 1 + got[axis] - one.shape[axis]))
    return expect(1)
