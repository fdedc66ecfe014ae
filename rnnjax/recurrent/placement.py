"""Where arrays are that `unroll` makes itself: on the devices where the examples are."""

from typing import Any

import jax
from jaxtyping import Array, Shaped

from rnnjax import compat


def place_as(tree: Any, inputs: Shaped[Array, "T B ..."], params: Any) -> Any:
    """Returns a tree of arrays `[B, ...]`, spread over devices as the examples are.

    A scan wants its carry to have one type from the first step on. In a `jax.shard_map`, and with
    explicit sharding, the type says over which axes of the mesh an array differs; after a step, the
    carry differs where inputs or parameters do.

    Args:
      tree: leaves that are the same for all examples.
      inputs: of all steps.
      params: of the cell.
    """
    is_sharded = any(axis is not None for axis in jax.typeof(inputs).sharding.spec)
    varying = [x for x in jax.tree.leaves((inputs, params)) if compat.varies_over_devices(x)]
    if not is_sharded and not varying:
        return tree
    # A sum of nothing is 0, and of the type that it would have of something.
    nothing = inputs[0].reshape(inputs.shape[1], -1)[:, :0].sum(1)

    def place(leaf: Array) -> Array:
        zero = nothing.astype(leaf.dtype)
        for x in varying:
            zero += x.ravel()[:0].sum().astype(leaf.dtype)
        return leaf + zero.reshape(-1, *(1,) * (leaf.ndim - 1))

    return jax.tree.map(place, tree)
