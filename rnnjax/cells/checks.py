"""What a cell must be and return, said of its own class and line where it is not."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnnjax.cells.types import Carry


class Undeclared:
    """Stands in `pointwise` for a parameter that the cell has not declared to read there."""

    def __init__(self, cell: str, name: str) -> None:
        self._message = (
            f"{cell}.pointwise reads params.{name}, which {cell}.pointwise_params does not name"
        )

    def __getattr__(self, name: str) -> NoReturn:
        # Not an AttributeError, which JAX would answer with a message of its own.
        raise ValueError(self._message)

    def _refuse(self, *others: object) -> NoReturn:
        raise ValueError(self._message)

    __array__ = __getitem__ = __len__ = __iter__ = __bool__ = __float__ = __eq__ = _refuse
    __neg__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = _refuse


def check_class(cls: type[Any]) -> None:
    """Raises a TypeError if the class of a cell has a value that looks like a field, but is none.

    Without a type, `mu = 0.5` is no field of a dataclass: the cell could not be given another mu.
    Names in capitals are constants. Nor may a method be under `jax.jit`, which takes no cell.
    """
    for name in ("products", "pointwise", "step"):
        if isinstance(vars(cls).get(name), jax.stages.Wrapped):
            raise TypeError(
                f"{cls.__name__}.{name} must not be under jax.jit, which cannot take the cell: "
                "leave it away, since whatever unrolls the cell is compiled"
            )
    typed = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())}
    # A dataclass has the base's default for a field whose value alone is given again.
    inherited = {
        field.name
        for base in cls.__bases__
        if dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    typed -= inherited - {*vars(cls).get("__annotations__", ())}
    for name, value in vars(cls).items():
        is_value = type(value) in (bool, int, float, str) and not name.startswith("_")
        if is_value and name not in typed and not name.isupper():
            kind = type(value).__name__
            raise TypeError(
                f"{cls.__name__}.{name} = {value!r} is no field without a type: write "
                f"`{name}: {kind} = {value!r}`"
            )


def check_features(cell: Any) -> None:
    """Raises a ValueError unless the number of units is one."""
    if not isinstance(cell.features, int | np.integer) or isinstance(cell.features, bool):
        raise ValueError(
            f"{type(cell).__name__}: features must be an integer of at least 1, got "
            f"{cell.features!r}"
        )


def check_bound(cell: nn.RNNCellBase) -> None:
    """Raises a ValueError if a cell is called without parameters."""
    if cell.scope is None:
        raise ValueError(
            f"{type(cell).__name__} has no parameters outside of a module: "
            "cell.apply(variables, carry, inputs) runs it with its parameters, "
            "cell.init(key, carry, inputs) makes them"
        )


def check_carry_type(cell: nn.RNNCellBase) -> None:
    """Raises a ValueError unless the class says what its carry is."""
    carry_type = getattr(cell, "carry_type", None)
    if not (isinstance(carry_type, type) and hasattr(carry_type, "_fields")):
        raise ValueError(
            f"{type(cell).__name__}.carry_type must be a NamedTuple of arrays [..., H], got "
            f"{carry_type!r}"
        )


def check_results(cell: Any, method: Callable[..., Any], carry: Carry, results: Any) -> None:
    """Raises a ValueError unless a step returns a new carry like the old one, and an output.

    Args:
      cell: a `Cell`.
      method: its `step` or `pointwise`, which returned the results.
      carry: before the step.
      results: what is to be checked.
    """
    name = f"{type(cell).__name__}.{method.__name__} ({_place(method)})"
    if not isinstance(results, tuple) or hasattr(results, "_fields") or len(results) != 2:
        raise ValueError(f"{name} must return the new carry and the output, got {_kind(results)}")
    new_carry, output = results
    if type(new_carry) is not cell.carry_type:
        raise ValueError(
            f"{name} must return a {cell.carry_type.__name__} as the new carry, got "
            f"{_kind(new_carry)}"
        )
    for field, new, old in zip(new_carry._fields, new_carry, carry, strict=True):
        if jax.tree.map(_describe, new) != jax.tree.map(_describe, old):
            raise ValueError(
                f"{name} must leave carry.{field} as {_describe(old)}, got {_describe(new)}"
            )
    if not hasattr(output, "astype"):
        raise ValueError(f"{name} must return an array as the output, got {_kind(output)}")
    if cell.output_field in carry._fields:
        wanted = jnp.shape(getattr(new_carry, cell.output_field))
        if jnp.shape(output) != wanted:
            raise ValueError(
                f"{name} must return an output of shape {wanted}, that of carry."
                f"{cell.output_field} (or its class say output_field = None), got "
                f"{_describe(output)}"
            )


def class_and_line(cell: nn.RNNCellBase) -> str:
    """Returns the name of a cell's class, and where it is defined, if that can be known."""
    name = type(cell).__name__
    try:
        line = inspect.getsourcelines(type(cell))[1]
        return f"{name} ({inspect.getsourcefile(type(cell))}:{line})"
    except (OSError, TypeError):  # typed in, or made by a call of `type`
        return name


def _place(method: Callable[..., Any]) -> str:
    function = inspect.unwrap(method)  # flax wraps what `nn.nowrap` does not exempt
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _describe(x: Any) -> str:
    return f"{jnp.result_type(x)}{[*jnp.shape(x)]}" if hasattr(x, "shape") else _kind(x)


def _kind(value: Any) -> str:
    if isinstance(value, Array):
        return f"one array of shape {value.shape}"
    return "nothing" if value is None else f"a {type(value).__name__}"
