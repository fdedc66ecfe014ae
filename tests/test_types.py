"""The annotations of public functions: complete, and checked whenever the tests call one."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

import rnnjax
from rnnjax.interop import gates

ROOMS = ("cells", "comparing", "data", "exporting", "interop", "recurrent", "training")


def public_functions(room: str) -> Iterator[tuple[str, Any]]:
    """Yields each public function that a module of the room defines, with its full name."""
    package = importlib.import_module(f"{rnnjax.__name__}.{room}")
    modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    for name in (package.__name__, *(module.name for module in modules)):
        for function_name, value in vars(importlib.import_module(name)).items():
            is_own = inspect.isfunction(value) and value.__module__ == name
            if is_own and not function_name.startswith("_"):
                yield f"{name}.{function_name}", value


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_function_is_annotated_and_checked(room: str) -> None:
    functions = dict(public_functions(room))
    assert functions
    for name, function in functions.items():
        annotations = [p.annotation for p in inspect.signature(function).parameters.values()]
        annotations.append(inspect.signature(function).return_annotation)
        assert inspect.Signature.empty not in annotations, name
        assert is_checked(function), name


def is_checked(function: Any) -> bool:
    """Whether jaxtyping has wrapped a function, which others may have wrapped after it."""
    while function is not None:
        if function.__code__.co_filename.endswith("jaxtyping/_decorator.py"):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


@pytest.mark.parametrize("compile_it", [False, True])
def test_a_wrong_rank_is_an_error(compile_it: bool) -> None:
    def reorder(array: jax.Array) -> jax.Array:
        return gates.reorder(array, "ruc", "ur")

    run = jax.jit(reorder) if compile_it else reorder
    run(jnp.zeros((2, 6)))
    with pytest.raises(TypeCheckError, match="parameter 'array'"):
        run(jnp.zeros(()))


def test_numpy_is_an_error_where_only_jax_is_annotated() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'array'"):
        gates.reorder(np.zeros((2, 6)), "ruc", "ur")  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("unchecked")
def test_the_check_can_be_off() -> None:
    array: Any = np.zeros((2, 6))
    assert gates.reorder(array, "ruc", "ur").shape == (2, 4)
