"""What the devices of a step tell each other; a step that is not mapped is one device's."""

from typing import TypeVar

import jax
import jax.numpy as jnp

AXIS = "devices"  # that steps are mapped over
T = TypeVar("T")


def mean(tree: T, axis_name: str | None) -> T:
    """Averages over the mapped devices; `axis_name` None: there is one."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def total(tree: T, axis_name: str | None) -> T:
    """Adds up over the mapped devices; `axis_name` None: there is one."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def total_of_equal_parts(tree: T, axis_name: str | None) -> T:
    """Adds up over the mapped devices, all of which have counted the same: integers are not sent.

    What is sent is then of one dtype, so that XLA sends it together with the gradients.
    """
    if axis_name is None:
        return tree
    size = jax.lax.axis_size(axis_name)

    def add(leaf: jax.Array) -> jax.Array:
        is_count = jnp.issubdtype(leaf.dtype, jnp.integer)
        return leaf * size if is_count else jax.lax.psum(leaf, axis_name)

    return jax.tree.map(add, tree)


def gather(x: jax.Array, axis_name: str | None) -> jax.Array:
    """Returns the rows of all mapped devices, one device's after the other's, on each."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def index(axis_name: str | None) -> jax.Array | int:
    """Returns which of the mapped devices this is, in the order of their parts of a batch."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name)
