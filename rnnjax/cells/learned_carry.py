"""An initial state that is learned."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells.wrapper import Wrapper


class LearnedCarry(NamedTuple):
    inner: Any  # the inner cell's carry
    started: jax.Array  # [...], bool: whether the first step is behind


class LearnedCarryCell(Wrapper):
    """Starts a cell from parameters instead of zeros.

    The carry knows whether it has started, and the first step puts the parameters in its place. So
    this needs nothing from what unrolls it, and a carry that comes from an earlier piece of the
    sequence goes on as it is. Parameters: one for each array of floats in the inner carry, named
    after its field, such as `initial_hidden` `[H]`; of the whole shape but for the batch.

    Attributes (and those of `Wrapper`):
      initial_init: of these parameters; zeros start training where the inner cell would.
    """

    initial_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, carry: LearnedCarry, inputs: jax.Array) -> tuple[LearnedCarry, jax.Array]:
        if not isinstance(carry, LearnedCarry):
            raise ValueError(
                f"LearnedCarryCell: carry must be a LearnedCarry, got a {type(carry).__name__}"
            )
        batch_axes = inputs.ndim - self.num_feature_axes

        def start(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                return leaf
            # A key of the path is a field's name, or a place in flax's plain tuples.
            keys = [str(getattr(key, "name", getattr(key, "idx", None))) for key in path]
            shape = leaf.shape[batch_axes:]
            learned = self.param("_".join(["initial", *keys]), self.initial_init, shape, leaf.dtype)
            started = carry.started.reshape(carry.started.shape + (1,) * (leaf.ndim - batch_axes))
            return jnp.where(started, leaf, learned.astype(leaf.dtype))

        inner = jax.tree_util.tree_map_with_path(start, carry.inner)
        new_inner, outputs = self.inner(inner, inputs)
        return LearnedCarry(new_inner, jnp.ones_like(carry.started)), outputs

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LearnedCarry:
        batch_shape = input_shape[: -self.num_feature_axes]
        inner = self.inner.initialize_carry(rng, input_shape)
        return LearnedCarry(inner, started=jnp.zeros(batch_shape, bool))
