"""Where examples are, as the types of arrays say it: over which axes of a mesh they are spread."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from rnnjax import compat

T = TypeVar("T")


class Placement(NamedTuple):
    """What the types of all arrays `[B, ...]` of an unrolled cell have in common."""

    batch: NamedSharding | None  # of the axis B, if a mesh is explicit; None: on all devices alike
    varying: frozenset[str]  # axes of a `jax.shard_map` between whose devices something differs


def placement_of(examples: list[tuple[Any, int]], beside: Any = ()) -> Placement:
    """Returns the placement of the first tree whose examples are spread, and all that vary.

    Args:
      examples: trees of arrays, with the number of the axis B in each.
      beside: arrays without that axis, which may vary as well: parameters, random keys.
    """
    shardings = [
        NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[axis]))
        for tree, axis in examples
        for sharding in (jax.typeof(leaf).sharding for leaf in jax.tree.leaves(tree))
        if sharding.spec[axis] is not None
    ]
    varying = compat.varying_axes(([tree for tree, _ in examples], beside))
    return Placement(next(iter(shardings), None), varying)


def place(tree: T, axis: int, placement: Placement) -> T:
    """Returns a tree of arrays whose examples, at an axis, are typed as a placement says.

    A scan wants its carry to have one type from the first step on, and a choice between two arrays
    wants one type of them: inputs, flags and carry, given or made by `unroll`, all go through this.
    An array that is the same everywhere is then said to vary, or is split by examples; the sharding
    of its other axes stays.
    """

    def place_leaf(leaf: Any) -> Array:
        leaf = jnp.asarray(leaf)
        if missing := placement.varying - compat.varying_axes(leaf):
            leaf = jax.lax.pcast(leaf, tuple(sorted(missing)), to="varying")
        if placement.batch is not None:
            axes = [*jax.typeof(leaf).sharding.spec]
            axes[axis] = placement.batch.spec[0]
            leaf = jax.reshard(leaf, NamedSharding(placement.batch.mesh, PartitionSpec(*axes)))
        return leaf

    is_anywhere = placement.batch is None and not placement.varying
    return tree if is_anywhere else jax.tree.map(place_leaf, tree)
