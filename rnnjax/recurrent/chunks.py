"""The plain scan of a cell over time, whole or in chunks: `remat`, and truncated derivatives.

With `remat` only the carries between chunks are residuals: what a step inside a chunk leaves for
its derivative is computed again, chunk by chunk, on the way back.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core.scope import CollectionFilter
from jaxtyping import Array, Bool, Shaped

from rnnjax.cells.wrappers.noise import VARIATIONAL
from rnnjax.recurrent.arguments import with_named_shapes
from rnnjax.recurrent.placement import Placement, place
from rnnjax.recurrent.sowing import apart_from_earlier, sown_collections
from rnnjax.recurrent.state import Flags, Results, State, Steps


def chunk_length(num_steps: int, remat: bool, truncate_every: int | None) -> int:
    """Returns how many steps go together: all, sqrt(T) of them, or what truncation asks for."""
    return min(
        truncate_every or (math.ceil(math.sqrt(num_steps)) if remat else num_steps), num_steps
    )


# In one program, so that outside of `jit` no array with the padding's NaN is made.
@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)
def with_time_first(
    inputs: Shaped[Array | np.ndarray, "..."],
    valid: Bool[Array, "T B"] | None,
    time_major: bool,
    placement: Placement,
) -> Shaped[Array, "T B ..."]:
    """Returns inputs with the time first, placed, and 0 where a step does not count.

    The padding is cleared on the way in as well: NaN times a zero gradient would be NaN.
    """
    steps = jnp.asarray(inputs) if time_major else jnp.swapaxes(inputs, 0, 1)
    steps = place(steps, 1, placement)
    if valid is None:
        return steps
    return jax.vmap(where)(valid, steps, jnp.zeros_like(steps))


def cut_into_chunks(inputs: Shaped[Array, "T B *F"], flags: Flags, chunk: int) -> Steps:
    """Returns the steps of inputs, with padding so that all chunks are whole."""
    valid, (num_steps, batch_size) = flags.valid, inputs.shape[:2]
    padding = -num_steps % chunk
    if valid is None and not padding:
        return Steps(inputs, flags)
    if valid is None:
        valid = jnp.ones((num_steps, batch_size), bool)

    def pad(leaf: Array) -> Array:
        return jnp.pad(leaf, [(0, padding)] + [(0, 0)] * (leaf.ndim - 1))

    return Steps(*jax.tree.map(pad, (inputs, flags._replace(valid=valid))))


def scan_chunks(
    step: Callable[[nn.RNNCellBase, State, Steps], tuple[State, Results]],
    cell: nn.RNNCellBase,
    state: State,
    steps: Steps,
    *,
    chunk: int,
    reverse: bool,
    remat: bool,
    truncate: bool,
    unroll_factor: int,
) -> tuple[State, Results]:
    """Scans `step(cell, state, step) -> (state, results)`, lifted over the cell's variables.

    Args:
      step: of the cell, for one of `steps`.
      cell: bound to its parameters.
      state: before the first step.
      steps: as `cut_into_chunks` returns them.
      chunk: steps of a chunk.
      reverse: go from the last step to the first.
      remat: compute the inside of a chunk again for the gradient.
      truncate: stop gradients between chunks.
      unroll_factor: steps in one iteration of the compiled loop.

    Returns:
      The last state, and the results of all steps, leaves `[T, ...]`.
    """
    sown = sown_collections(cell)
    run = _lift(step, sown, reverse, unroll_factor)
    if remat:
        run = nn.remat(run, prevent_cse=False)
    count = steps.inputs.shape[0] // chunk
    if count == 1:
        return with_named_shapes(apart_from_earlier(run, sown))(cell, state, steps)

    def run_chunk(
        cell: nn.RNNCellBase, state: State, chunk: tuple[Array | None, Steps]
    ) -> tuple[State, Results]:
        is_cut, steps = chunk
        if is_cut is not None:
            carry = jax.tree.map(
                lambda leaf: where(is_cut, jax.lax.stop_gradient(leaf), leaf), state.carry
            )
            state = state._replace(carry=carry)
        return run(cell, state, steps)

    chunks = jax.tree.map(lambda leaf: leaf.reshape(count, chunk, *leaf.shape[1:]), steps)
    is_cut = _is_cut(chunks, reverse) if truncate else None
    run_chunks = apart_from_earlier(_lift(run_chunk, sown, reverse), sown)
    before = jax.tree.map(jnp.shape, dict(cell.variables))
    state, results = with_named_shapes(run_chunks)(cell, state, (is_cut, chunks))
    for name, collection in cell.variables.items():
        if name != "params" and jax.tree.map(jnp.shape, collection) != before.get(name):
            raise ValueError(
                f"{type(cell).__name__} sows {name!r}, which unroll returns of every step; with "
                "remat or truncate_every it cannot"
            )
    return state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)


def _is_cut(chunks: Steps, reverse: bool) -> Bool[Array, "N B"]:
    """Returns by chunk and sequence whether the carry before it is one whose gradient stops.

    It is not where the sequence starts with this chunk (backwards, a short one starts in an earlier
    chunk than a long one), or starts again. Nor where no step of the chunk counts: the last carry
    of a short sequence passes by, with the gradient of the chunk that it comes from.

    Args:
      chunks: leaves `[N, T / N, B, ...]`.
      reverse: the last chunk is taken first.
    """
    valid, restarts = chunks.flags
    counts = jnp.ones(chunks.inputs.shape[:3], bool) if valid is None else valid
    counts = counts.any(1)
    begun = jax.lax.cummax(counts.astype(jnp.int32), reverse=reverse) > 0
    if restarts is not None:  # the last step that is taken prepares the carry for the next chunk
        begun &= ~restarts[:, 0 if reverse else -1]
    never = jnp.zeros_like(begun[:1])
    parts = [begun[1:], never] if reverse else [never, begun[:-1]]
    return counts & jnp.concatenate(parts)


def _lift(
    body: Callable[..., Any], sown: CollectionFilter, reverse: bool, unroll_factor: int = 1
) -> Callable[..., Any]:
    """Lifts a body `(cell, carry, x) -> (carry, y)` to all of time."""
    return nn.scan(
        body,
        variable_broadcast="params",
        variable_axes={sown: 0},
        split_rngs={
            "params": False,
            VARIATIONAL: False,
            nn.DenyList(("params", VARIATIONAL)): True,
        },
        reverse=reverse,
        unroll=unroll_factor,
    )


def where(
    valid: Bool[Array, " B"], new: Shaped[Array, "B ..."], old: Shaped[Array, "B ..."]
) -> Shaped[Array, "B ..."]:
    """Chooses by sequence."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - 1)), new, old)
