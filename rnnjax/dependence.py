"""What of a function depends on what, found by tracing it."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.interpreters.partial_eval import dce_jaxpr


def needs(function: Callable[..., Any], *arguments: Any) -> list[bool]:
    """Returns for each argument whether the result depends on an array in it.

    Raises:
      ValueError: if it depends on a traced array that is no argument.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    if any(isinstance(constant, Tracer) for constant in closed.consts):
        raise ValueError("the function closes over a traced array")
    _, used = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    remaining = iter(used)
    sizes = [len(jax.tree.leaves(part)) for part in arguments]
    return [any(list(itertools.islice(remaining, size))) for size in sizes]


def first_alike(function: Callable[..., Any], *arguments: Any) -> list[int]:
    """Returns for each leaf of the result the number of the first that is the same array."""
    seen: dict[int, int] = {}
    results = jax.make_jaxpr(function)(*arguments).jaxpr.outvars
    return [seen.setdefault(id(result), n) for n, result in enumerate(results)]
