"""Whether arithmetic goes element by element, so that a kernel may do it block by block."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from rnnjax.recurrent.factored import UnavailableError, equations

# One value for each element; Pallas can lower all of these to Triton. And calls of functions.
ELEMENTWISE = {
    *("add", "add_any", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square"),
    *("integer_pow", "pow", "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos"),
    *("tanh", "logistic", "clamp", "select_n", "convert_element_type", "stop_gradient"),
    *("eq", "ne", "lt", "le", "gt", "ge", "not", "and", "or", "is_finite", "one_minus_square"),
    *("jit", "remat2", "custom_jvp_call"),
}


def check_elementwise(
    function: Callable[..., Any], block: tuple[int, int], *arguments: Any
) -> None:
    """Checks that a function does the same to a block of its arguments as to all of them.

    Args:
      function: of trees of arrays, to a tree of arrays.
      block: rows and columns.
      arguments: trees of arrays or their shapes, `[B, H]`, or `[B]` for one value a row.

    Raises:
      UnavailableError: if it does not; saying why.
    """

    def trace(shape_of: Callable[[Any], tuple[int, ...]]) -> Any:
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(shape_of(x), x.dtype), arguments)
        with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):  # on one device
            return jax.make_jaxpr(function)(*shapes)

    whole = trace(lambda leaf: leaf.shape)
    try:
        part = trace(lambda leaf: block[: leaf.ndim])
    except Exception as error:  # what a cell of a user's own raises for so many columns
        raise UnavailableError(f"its arithmetic fails for {block[1]} columns: {error}") from error
    if part.consts:
        raise UnavailableError("its arithmetic reads an array, such as a field of the cell")
    if mixing := [eqn.primitive.name for eqn in equations(part.jaxpr) if _mixes(eqn)]:
        raise UnavailableError(f"its arithmetic is not elementwise: {', '.join(mixing)}")
    if any(aval.shape != block for aval in part.out_avals):
        raise UnavailableError("a result of a step is not as wide as the state")
    if _outline(whole.jaxpr) != _outline(part.jaxpr):
        raise UnavailableError("its arithmetic depends on the number of rows or columns")


def _mixes(eqn: Any) -> bool:
    if eqn.primitive.name not in ("broadcast_in_dim", "reshape"):
        return eqn.primitive.name not in ELEMENTWISE
    shape, rank = eqn.invars[0].aval.shape, len(eqn.outvars[0].aval.shape)
    return shape != () and (rank != 2 or shape[1:] not in ((), (1,)))  # but one value a row


def _outline(jaxpr: Any) -> list[Any]:
    """Returns what a function does, but for the shapes: its primitives and numbers, in order."""
    return [
        (eqn.primitive.name, [np.asarray(v.val).tolist() for v in eqn.invars if type(v) is Literal])
        for eqn in equations(jaxpr)
    ]
