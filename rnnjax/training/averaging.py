"""An exponential average of the parameters, which generalises better than the last of them.

It is a part of the optimizer's state, so that checkpoints have it, a step that is left out leaves
it as it is, and without it a state is what it always was.
"""

import typing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

if typing.TYPE_CHECKING:
    Leaf = jax.Array
else:  # JAX builds states of shapes and shardings too, which a check at run time would refuse
    Leaf = Any


class AverageState(NamedTuple):
    num_updates: Leaf  # int32, so far
    params: optax.Params  # their average


def average_params(decay: float) -> optax.GradientTransformation:
    """Returns what averages the parameters as updates leave them, and changes no update.

    As `tf.train.ExponentialMovingAverage(decay, num_updates)`: the average is at first the initial
    parameters, and after the n-th update it is `d * average + (1 - d) * params`, where
    `d = min(decay, (1 + n) / (10 + n))`, so that it soon forgets them. (`optax.ema` starts from 0
    and divides by what is missing.) It comes last in a chain.

    Args:
      decay: d after the first updates, in [0, 1).
    """

    def init(params: optax.Params) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), params)

    def update(
        updates: optax.Updates, state: AverageState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, AverageState]:
        assert params is not None
        count = jnp.asarray(optax.safe_increment(state.num_updates))
        n = count.astype(jnp.float32)
        share = 1 - jnp.minimum(decay, (1 + n) / (10 + n))  # of the new parameters
        new = optax.apply_updates(params, updates)
        average = jax.tree.map(
            lambda old, new: old + share.astype(old.dtype) * (new - old), state.params, new
        )
        return updates, AverageState(count, average)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def averaged(opt_state: optax.OptState) -> optax.Params | None:
    """Returns the average that an optimizer's state has; None if it has none."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, AverageState))
    return next((node.params for node in nodes if isinstance(node, AverageState)), None)
