"""Arithmetic on arrays that are laid out as equal blocks of columns.

A kernel holds an array `[B, n W]` as n blocks `[B, W]`, since Triton neither splits nor joins what
is in registers, and works on some columns of all gates at a time. So may arithmetic be done that
goes element by element and otherwise only splits gates apart.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import numpy as np
from jax.core import Tracer

# An array, or its blocks from the first column to the last.
Value = Any

ELEMENTWISE = {
    *("add", "add_any", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square"),
    *("integer_pow", "pow", "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos"),
    *("tanh", "logistic", "clamp", "select_n", "convert_element_type", "stop_gradient"),
    *("eq", "ne", "lt", "le", "gt", "ge", "not", "and", "or", "is_finite"),
}
CALLS = ("jit", "remat2")


class NotByBlocks(NotImplementedError):
    """The arithmetic is not of the kind that can be done block by block."""


def by_blocks(function: Callable[..., Any], width: int, *arguments: Any) -> Callable[..., Any]:
    """Returns the function for arguments whose leaves are lists of blocks `[B, width]`.

    Args:
      function: of trees of arrays, for any number of columns alike.
      width: columns of a block.
      arguments: trees of `jax.ShapeDtypeStruct`; `[B, n width]` is to be given as n blocks, what
        has another last axis, such as a mask `[B]`, as it is.

    Returns:
      The function; its result's leaves are lists of blocks too.

    Raises:
      NotByBlocks: if it does more than elementwise arithmetic and to split columns.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    structure = jax.tree.structure(shape)

    def run(*given: Any) -> Any:
        leaves = [
            leaf
            for value, argument in zip(given, arguments, strict=True)
            for leaf in jax.tree.structure(argument).flatten_up_to(value)
        ]
        return structure.unflatten(_evaluate(closed, width, leaves))

    def some(argument: Any) -> Value:
        rows, *columns = argument.shape
        if columns == [] or columns[0] % width:
            return argument
        return [jax.ShapeDtypeStruct((rows, width), argument.dtype)] * (columns[0] // width)

    jax.eval_shape(run, *jax.tree.map(some, arguments))
    return run


def _evaluate(closed: Any, width: int, arguments: list[Value]) -> list[Value]:
    jaxpr = closed.jaxpr
    known: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
    for variable, constant in zip(jaxpr.constvars, closed.consts, strict=True):
        if jax.numpy.shape(constant) or isinstance(constant, Tracer):
            raise NotByBlocks("a constant array")
        known[variable] = np.asarray(constant)[()]  # which a kernel may hold

    def read(variable: Any) -> Value:
        is_literal = isinstance(variable, jax.extend.core.Literal)
        return variable.val if is_literal else known[variable]

    for eqn in jaxpr.eqns:
        inputs = [read(variable) for variable in eqn.invars]
        if (name := eqn.primitive.name) in CALLS:
            found = _evaluate(_inner(eqn), width, inputs)
        elif name == "custom_jvp_call":
            found = _with_own_derivative(eqn, width, inputs)
        elif name == "split":
            found = _split(inputs[0], eqn.params["sizes"], width)
        elif name in ELEMENTWISE:
            found = [_elementwise(eqn, inputs)]
        elif name in ("broadcast_in_dim", "reshape") and not isinstance(inputs[0], list):
            found = [_spread(inputs[0], eqn, width)]
        else:
            raise NotByBlocks(name)
        known.update(zip(eqn.outvars, found, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _inner(eqn: Any) -> Any:
    inner = eqn.params["call_jaxpr" if eqn.primitive.name == "custom_jvp_call" else "jaxpr"]
    if isinstance(inner, jax.extend.core.ClosedJaxpr):
        return inner
    return jax.extend.core.ClosedJaxpr(inner, ())


def _with_own_derivative(eqn: Any, width: int, inputs: list[Value]) -> list[Value]:
    """Calls a `jax.custom_jvp` as it is, on one block: inlined, it would lose its derivative."""
    _evaluate(_inner(eqn), width, inputs)  # which refuses what is not of elements
    if any(isinstance(value, list) and len(value) != 1 for value in inputs):
        raise NotByBlocks("a function with a derivative of its own on several blocks")
    arrays = [value[0] if isinstance(value, list) else value for value in inputs]
    found = eqn.primitive.bind(*arrays, **eqn.primitive.get_bind_params(eqn.params))
    return [[array] for array in found]


def _elementwise(eqn: Any, inputs: list[Value]) -> Value:
    def apply(*arrays: Any) -> jax.Array:
        return eqn.primitive.bind(*arrays, **eqn.params)

    counts = {len(value) for value in inputs if isinstance(value, list)}
    if not counts:
        return apply(*inputs)
    if len(counts) > 1:
        raise NotByBlocks(f"{eqn.primitive.name} of {sorted(counts)} blocks")
    (count,) = counts
    each = [value if isinstance(value, list) else [value] * count for value in inputs]
    return [apply(*arrays) for arrays in zip(*each, strict=True)]


def _split(value: Value, sizes: tuple[int, ...], width: int) -> list[Value]:
    if not isinstance(value, list) or any(size % width for size in sizes):
        raise NotByBlocks(f"a split into {sizes} columns")
    parts, start = [], 0
    for size in sizes:
        parts.append(value[start : (start := start + size // width)])
    return parts


def _spread(value: jax.Array, eqn: Any, width: int) -> Value:
    """Broadcasts a scalar, or a mask by rows."""
    shape = eqn.outvars[0].aval.shape
    if value.ndim == 1 and shape == (*value.shape, 1):
        return value[:, None]
    is_column = value.ndim == 2 and value.shape[1] == 1
    if len(shape) != 2 or shape[1] % width or not (value.ndim == 0 or is_column):
        raise NotByBlocks(f"{eqn.primitive.name} of {value.shape} to {shape}")
    return [jax.numpy.broadcast_to(value, (shape[0], width))] * (shape[1] // width)
