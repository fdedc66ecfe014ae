"""Which steps of a batch count, and before which of them a new sequence begins."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rnnjax.recurrent.state import Flags


def make_flags(
    num_steps: int,
    lengths: Int[Array, " B"] | None,
    mask: Bool[Array, "T B"] | None,
    resets: Bool[Array, "T B"] | None,
    reverse: bool,
) -> Flags:
    """Returns the flags of all steps.

    Args:
      num_steps: T.
      lengths: how many steps of each sequence count, from the first on; None: all.
      mask: whether a step counts, beside the lengths; None: all do.
      resets: whether a new sequence begins at a step; None: none does.
      reverse: whether the steps are taken from the last to the first.
    """
    valid = mask
    if lengths is not None:
        within = jnp.arange(num_steps, dtype=jnp.int32)[:, None] < lengths[None]
        valid = within if mask is None else within & mask
    if resets is None:
        return Flags(valid, None)
    counts = jnp.ones_like(resets) if valid is None else valid
    begins = _begins_backwards(counts, resets) if reverse else _begins(counts, resets)
    # Each step prepares the carry for the one that is taken after it.
    nothing = jnp.zeros_like(begins[:1])
    parts = [nothing, begins[:-1]] if reverse else [begins[1:], nothing]
    return Flags(valid, jnp.concatenate(parts))


def _begins(counts: Bool[Array, "T B"], resets: Bool[Array, "T B"]) -> Bool[Array, "T B"]:
    """Returns whether there is a reset at a step that counts, or since the last one that did."""
    times = jnp.arange(1, counts.shape[0] + 1, dtype=jnp.int32)[:, None]
    last_reset = jax.lax.cummax(jnp.where(resets, times, 0))
    last_counted = jax.lax.cummax(jnp.where(counts, times, 0))
    before = jnp.concatenate([jnp.zeros_like(last_counted[:1]), last_counted[:-1]])
    return counts & (last_reset > before)


def _begins_backwards(counts: Bool[Array, "T B"], resets: Bool[Array, "T B"]) -> Bool[Array, "T B"]:
    """Returns whether, from the last step to the first, another sequence is entered at a step."""
    # Its last step: the next one, and all up to one that counts, has a reset.
    later = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
    return _begins(counts[::-1], later[::-1])[::-1]
