"""The loop that the kernels of `kernels` run, and the arithmetic of its step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.recurrent.dependence import outline
from rnnjax.recurrent.gpu.blocks import NotByBlocks, by_blocks

ROWS = 16  # examples of a program: the fewest that a tensor core multiplies
COLUMNS = 64  # of each gate that are worked on at once


class Loop(NamedTuple):
    """What is fixed when the kernels are made."""

    pointwise: Callable[..., Any]  # see `rnnjax.recurrent.deferred`
    reverse: bool
    source: int  # which leaf of the state the products read

    def before(self, states: Any) -> Any:
        """Returns of T + 1 states, in the order of time, those before each step."""
        return jax.tree.map(lambda leaf: leaf[1:] if self.reverse else leaf[:-1], states)

    def places(self, step: Any, num_steps: int) -> tuple[Any, Any, Any]:
        """Returns the time of a step, and where the states before and after it lie."""
        if self.reverse:
            return num_steps - 1 - step, num_steps - step, num_steps - 1 - step
        return step, step, step + 1


class Trace(NamedTuple):
    """What the derivative reads."""

    weights: list[jax.Array | None]  # of each product [H, n H]; None: it reads no state
    valid: jax.Array | None  # [T, B], 1 where a step counts, or 0
    states: Any  # leaves [T + 1, B, H]
    products: Any  # leaves [T, B, n H]


def arithmetic(loop: Loop, state: Any, products: Any, valid: Any) -> Callable[..., Any]:
    """Returns `pointwise` for blocks: some columns of a program's rows.

    Raises:
      NotByBlocks: if it cannot be done so.
    """
    some = _some(state, products, valid)
    width = jax.tree.leaves(some)[0].shape[-1]
    found = jax.tree.leaves(jax.eval_shape(loop.pointwise, *some))
    if any(leaf.shape[1:] != (width,) for leaf in found):
        raise NotByBlocks("a result of another width than the state")
    return by_blocks(loop.pointwise, width, *some)


def check_pieces(loop: Loop, state: Any, products: Any, valid: Any) -> None:
    """Raises NotByBlocks unless the arithmetic is the same for some rows and columns as for all."""
    arithmetic(loop, state, products, valid)
    mask = None if valid is None else jax.ShapeDtypeStruct(valid.shape[1:], jnp.bool)
    of_all = jax.make_jaxpr(loop.pointwise)(state, mask, products)
    of_some = jax.make_jaxpr(loop.pointwise)(*_some(state, products, valid))
    if outline(of_all) != outline(of_some):
        raise NotByBlocks("arithmetic that depends on the number of rows or columns")


def _some(state: Any, products: Any, valid: Any) -> tuple[Any, Any, Any]:
    """Returns the shapes of a program's rows and some columns: of a state, mask and products."""
    units = jax.tree.leaves(state)[0].shape[-1]
    width = min(units, COLUMNS)
    if any(leaf.shape[-1] % units for leaf in jax.tree.leaves(products)):
        raise NotByBlocks("products of another width than the state")

    def struct(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((ROWS, leaf.shape[-1] // units * width), leaf.dtype)

    mask = None if valid is None else jax.ShapeDtypeStruct((ROWS,), jnp.bool)
    return jax.tree.map(struct, state), mask, jax.tree.map(struct, products)
