"""What a traced function does: what of it depends on what, and whether it keeps rows apart."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Literal, jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr

# Numbers of rows to trace a function with: primes, so that no other axis is a multiple of one.
ROW_COUNTS = (10_007, 10_009)

# Linear, and of the same shape afterwards, but from one row to another.
MOVES_ROWS = {"rev", "cumsum", "gather", "scatter", "scatter-add", "reduce_window_sum", "fft"}


def needs(traced: ClosedJaxpr, *arguments: Any) -> list[bool]:
    """Returns for each argument of a traced function whether its result depends on it."""
    _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    remaining = iter(used)
    sizes = [len(jax.tree.leaves(part)) for part in arguments]
    return [any(list(itertools.islice(remaining, size))) for size in sizes]


def closes_over_traced(traced: ClosedJaxpr) -> bool:
    """Whether the result depends on a traced array that is no argument."""
    return any(isinstance(constant, Tracer) for constant in traced.consts)


def first_alike(function: Callable[..., Any], *arguments: Any) -> list[int]:
    """Returns for each leaf of the result the number of the first that is the same array."""
    seen: dict[int, int] = {}
    results = jax.make_jaxpr(function)(*arguments).jaxpr.outvars
    return [seen.setdefault(id(result), n) for n, result in enumerate(results)]


def trace_rows(function: Callable[..., Any], fixed: Any, *arguments: Any) -> list[ClosedJaxpr]:
    """Traces `function(fixed, *arguments)` with other numbers of rows, for `mixes_rows`."""

    def with_rows(leaf: jax.Array, count: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)

    return [
        jax.make_jaxpr(function)(fixed, *jax.tree.map(lambda a, n=n: with_rows(a, n), arguments))
        for n in ROW_COUNTS
    ]


def mixes_rows(traced: list[ClosedJaxpr]) -> bool:
    """Whether a row of the result may depend on other rows, on its place or on their number.

    Told by the shapes of all that is computed on the way: what depends on the rows has to have just
    one axis of them, the first in the result. Only for functions that are linear in the rows.
    """
    one, other = traced
    if any(result.shape[:1] != ROW_COUNTS[:1] for result in one.out_avals):
        return True
    if outline(one) != outline(other):  # the number of rows is a number in it
        return True
    return any(np.shape(c)[:1] == ROW_COUNTS[:1] for c in one.consts) or _mixes(one.jaxpr)


def _mixes(jaxpr: Any) -> bool:
    def row_axes(variable: Any) -> int:
        return sum(size > 0 and size % ROW_COUNTS[0] == 0 for size in variable.aval.shape)

    for eqn in jaxpr.eqns:
        reads = any(row_axes(variable) for variable in eqn.invars)
        found = [row_axes(variable) for variable in eqn.outvars]
        if (reads and set(found) != {1}) or max(found, default=0) > 1:
            return True
        if found[:1] == [1] and (eqn.primitive.name == "iota" or eqn.primitive.name in MOVES_ROWS):
            return True
    return any(_mixes(inner) for inner in _inner(jaxpr))


def primitives(jaxpr: Any) -> Iterator[str]:
    """Yields the names of all primitives, also of inner functions."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
    for inner in _inner(jaxpr):
        yield from primitives(inner)


def outline(traced: ClosedJaxpr) -> list[Any]:
    """Returns what a function does, but for the shapes: its primitives and numbers, in order."""
    return [np.asarray(c).tolist() for c in traced.consts if not np.shape(c)] + _outline(
        traced.jaxpr
    )


def _outline(jaxpr: Any) -> list[Any]:
    found: list[Any] = []
    for eqn in jaxpr.eqns:
        numbers = [v.val for v in eqn.invars if isinstance(v, Literal)]
        found.append((eqn.primitive.name, [np.asarray(number).tolist() for number in numbers]))
        found += [_outline(inner) for inner in jaxprs_in_params(eqn.params)]
    return found


def _inner(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield from jaxprs_in_params(eqn.params)
