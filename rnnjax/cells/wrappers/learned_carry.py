"""An initial state that is learned."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from rnnjax.cells.types import Carry, KeyPath
from rnnjax.cells.wrappers.base import Wrapper
from rnnjax.cells.wrappers.noise import is_hidden, name_of


class LearnedCarry(NamedTuple):
    inner: Carry  # the inner cell's carry
    started: jax.Array  # [...], bool: whether the first step is behind


class LearnedCarryCell(Wrapper):
    """Starts a cell from parameters instead of zeros.

    The carry knows whether it has started, and the first step puts the parameters in its place. So
    this needs nothing from what unrolls it, and a carry that comes from an earlier part of the
    sequence goes on as it is. Parameters: one for each state in the inner carry, named after its
    field, such as `initial_hidden` `[H]`; of the whole shape but for the batch. States are fields
    named `hidden` or `cell`, and what has no name, as in flax's carries; no counts, windows of
    inputs, or an sLSTM's memory, which counts for nothing before its first input. `started` is
    boolean: gradients with respect to a given carry take `jax.grad(..., allow_int=True)`.

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
        batch_axes = carry.started.ndim

        def start(path: KeyPath, leaf: jax.Array) -> jax.Array:
            name = "_".join(["initial", jax.tree_util.keystr(path, simple=True, separator="_")])
            shape = leaf.shape[batch_axes:]
            learned = self.param(name.rstrip("_"), self.initial_init, shape, leaf.dtype)
            started = carry.started.reshape(carry.started.shape + (1,) * len(shape))
            return jnp.where(started, leaf, learned.astype(leaf.dtype))

        leaves = jax.tree_util.tree_leaves_with_path(carry.inner)
        learned = {path for path, leaf in leaves if _is_state(path, leaf, leaves)}
        inner = jax.tree_util.tree_map_with_path(
            lambda path, leaf: start(path, leaf) if path in learned else leaf, carry.inner
        )
        new_inner, outputs = self.inner(inner, inputs)
        return LearnedCarry(new_inner, jnp.ones_like(carry.started)), outputs

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LearnedCarry:
        batch_shape = input_shape[: -self.num_feature_axes]
        inner = self.inner.initialize_carry(rng, input_shape)
        return LearnedCarry(inner, started=jnp.zeros(batch_shape, bool))


def _is_state(path: KeyPath, leaf: jax.Array, leaves: list[tuple[KeyPath, jax.Array]]) -> bool:
    if name_of(path) == "cell":
        beside = [name_of(other) for other, _ in leaves if other[:-1] == path[:-1]]
        return "normalizer" not in beside
    return is_hidden(path, leaf)
