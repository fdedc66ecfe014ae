"""The plain scan of a cell over time, whole or in chunks: `remat`, and truncated derivatives."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells.wrappers.noise import VARIATIONAL
from rnnjax.recurrent.arguments import with_named_shapes
from rnnjax.recurrent.factored import Steps


def chunk_length(num_steps: int, remat: bool, truncate_every: int | None) -> int:
    """Returns how many steps go together: all, sqrt(T) of them, or what truncation asks for."""
    return min(
        truncate_every or (math.ceil(math.sqrt(num_steps)) if remat else num_steps), num_steps
    )


def cut_into_chunks(inputs: jax.Array, lengths: jax.Array | None, chunk: int) -> Steps:
    """Returns the steps of inputs `[T, B, F]`, with padding so that all chunks are whole."""
    num_steps, batch_size = inputs.shape[:2]
    padding = -num_steps % chunk
    if lengths is None and not padding:
        return Steps(inputs, None)
    ends = jnp.full((batch_size,), num_steps, jnp.int32) if lengths is None else lengths
    valid = jnp.arange(num_steps + padding, dtype=jnp.int32)[:, None] < ends
    inputs = jnp.pad(inputs, [(0, padding)] + [(0, 0)] * (inputs.ndim - 1))
    # Padding is cleared on the way in as well: NaN times a zero gradient would be NaN.
    return Steps(jax.vmap(where)(valid, inputs, jnp.zeros_like(inputs)), valid)


def scan_chunks(
    step: Any,
    cell: nn.RNNCellBase,
    state: Any,
    steps: Steps,
    lengths: jax.Array | None,
    *,
    chunk: int,
    reverse: bool,
    remat: bool,
    truncate: bool,
    unroll_factor: int,
) -> tuple[Any, Any]:
    """Scans `step(cell, state, now) -> (state, kept)`, lifted over the cell's variables.

    Args:
      step: takes one of `steps`.
      cell: bound to its parameters.
      state: before the first step, with the cell's carry in a field `carry`.
      steps: as `cut_into_chunks` returns them.
      lengths: `[B]`; None: all steps count.
      chunk: steps of a chunk.
      reverse: go from the last step to the first.
      remat: compute the inside of a chunk again for the gradient.
      truncate: stop gradients between chunks.
      unroll_factor: steps in one iteration of the compiled loop.

    Returns:
      The last state, and what was kept of each step, leaves `[T, ...]`.
    """
    run = _lift(step, reverse, unroll_factor)
    if remat:
        run = nn.remat(run, prevent_cse=False)
    num_steps, batch_size = steps.inputs.shape[:2]
    count = num_steps // chunk
    if count == 1:
        return with_named_shapes(run)(cell, state, steps)

    def run_chunk(cell: nn.RNNCellBase, state: Any, now: Any) -> tuple[Any, Any]:
        is_first, steps = now
        if truncate:
            carry = jax.tree.map(
                lambda leaf: where(is_first, leaf, jax.lax.stop_gradient(leaf)), state.carry
            )
            state = state._replace(carry=carry)
        return run(cell, state, steps)

    # By sequence: backwards, a short one starts in an earlier chunk than a long one.
    order = jnp.arange(count, dtype=jnp.int32)[:, None]
    ends = jnp.full((batch_size,), num_steps, jnp.int32) if lengths is None else lengths
    is_first = order >= (ends - 1) // chunk if reverse else order == jnp.zeros_like(ends)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(count, chunk, *leaf.shape[1:]), steps)
    state, kept = with_named_shapes(_lift(run_chunk, reverse))(cell, state, (is_first, chunks))
    return state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), kept)


def _lift(body: Any, reverse: bool, unroll_factor: int = 1) -> Any:
    """Lifts a body `(cell, carry, x) -> (carry, y)` to all of time."""
    return nn.scan(
        body,
        variable_broadcast="params",
        split_rngs={
            "params": False,
            VARIATIONAL: False,
            nn.DenyList(("params", VARIATIONAL)): True,
        },
        reverse=reverse,
        unroll=unroll_factor,
    )


def where(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Chooses by sequence; valid: `[B]`, the others `[B, ...]`."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - 1)), new, old)
