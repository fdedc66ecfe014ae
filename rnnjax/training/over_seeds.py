"""Several independent runs as one program: N seeds, whose arrays lead with that axis.

The arrays of one seed have no such axis: its program is what it would be without the others.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")


def over_seeds(step: Callable[..., T], num_seeds: int, num_own: int) -> Callable[..., T]:
    """Returns a step of all seeds.

    On a CPU the seeds go one after the other, each to the bits that it would come to alone (with
    JAX 0.12 to 1e-6, where XLA rounds the arithmetic of a loop otherwise): a product of N batches
    at once takes a fifth longer there. On other devices they go at once.

    Args:
      step: a step of one seed.
      num_seeds: N.
      num_own: how many of its arguments, the first ones, each seed has of its own.
    """
    if num_seeds == 1:
        return step

    def step_all(*arguments: Any) -> T:
        def step_one(own: tuple[Any, ...]) -> T:
            return step(*own, *arguments[num_own:])

        own = arguments[:num_own]
        if jax.default_backend() == "cpu":
            return jax.lax.map(step_one, own)
        return jax.vmap(step_one)(own)

    return step_all


def stack(trees: Sequence[T]) -> T:
    """Returns the arrays of all seeds from those of each."""
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)


def unstack(tree: T, num_seeds: int) -> list[T]:
    """Returns the arrays of each seed from those of all."""
    if num_seeds == 1:
        return [tree]
    return [jax.tree.map(lambda leaf, n=n: leaf[n], tree) for n in range(num_seeds)]


def join_rows(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Returns the rows of several devices or batches, `[B, X]` or `[N, B, X]`, as one array."""
    return np.concatenate([*parts], axis=-2)
