"""A cell over time."""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class Unrolled(NamedTuple):
    outputs: jax.Array  # [B, T, H]; [T, B, H] if time_major; [B, H] if only the last were asked for
    carry: Any  # the cell's carry after the last step of each sequence, leaves [B, ...]


def unroll(
    cell: nn.RNNCellBase,
    inputs: jax.Array,
    *,
    initial_carry: Any = None,
    lengths: ArrayLike | None = None,
    time_major: bool = False,
    return_outputs: Literal["all", "last"] = "all",
) -> Unrolled:
    """Runs a cell over a batch of sequences: TF1's `dynamic_rnn`.

    Time is a `jax.lax.scan`, lifted by flax over the cell's parameters (the same at each step) and
    random streams (new at each step); a cell's state belongs in its carry, so that other variable
    collections are not offered to it. Call it inside a module, or outside through `nn.apply`:

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.unroll import unroll
    >>> cell, inputs = LSTMCell(features=4), jnp.ones((2, 7, 3))
    >>> variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    >>> outputs, carry = nn.apply(unroll, cell)(variables, inputs, lengths=jnp.array([7, 3]))
    >>> outputs.shape, carry.hidden.shape
    ((2, 7, 4), (2, 4))

    Args:
      cell: the cell, bound to its parameters.
      inputs: `[B, T, F]`, or `[T, B, F]` with `time_major`; a cell with several feature axes takes
        them in place of F.
      initial_carry: the carry before the first step, leaves `[B, ...]`; None: the cell's own.
      lengths: `[B]`, integers in [0, T]: the steps of each sequence that count. Beyond them outputs
        are zero, the carry stays as it is, and nothing in the padding matters, NaN included.
      time_major: whether time leads the inputs and the outputs.
      return_outputs: the outputs of all steps, or only each sequence's last that counts (zero for
        an empty sequence).

    Raises:
      ValueError: if the shapes of inputs, lengths or initial carry do not fit.
    """
    rank = 2 + cell.num_feature_axes
    if inputs.ndim != rank:
        layout = "[T, B, ...]" if time_major else "[B, T, ...]"
        raise ValueError(f"inputs must be {layout} with {rank} axes, got shape {inputs.shape}")
    if not time_major:
        inputs = jnp.swapaxes(inputs, 0, 1)
    num_steps, batch_size = inputs.shape[:2]
    if num_steps == 0:
        raise ValueError("inputs must have at least one step")
    if return_outputs not in ("all", "last"):
        raise ValueError(f"return_outputs must be 'all' or 'last', got {return_outputs!r}")
    if lengths is not None:
        lengths = jnp.asarray(lengths)
        if lengths.shape != (batch_size,) or not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ValueError(
                f"lengths must be integers of shape ({batch_size},), got {lengths.dtype} of shape "
                f"{lengths.shape}"
            )
        lengths = lengths.astype(jnp.int32)
    if initial_carry is None:
        initial_carry = cell.initialize_carry(jax.random.key(0), inputs.shape[1:])
    for leaf in jax.tree.leaves(initial_carry):
        if leaf.shape[:1] != (batch_size,):
            raise ValueError(f"initial_carry must lead with B={batch_size}, got {leaf.shape}")

    def step(
        cell: nn.RNNCellBase, carry: Any, step_inputs: tuple[jax.Array, jax.Array | None]
    ) -> tuple[Any, jax.Array]:
        x, valid = step_inputs
        if valid is None:
            return cell(carry, x)
        # Padding is cleared on the way in as well: NaN times a zero gradient would be NaN.
        new_carry, y = cell(carry, _where(valid, x, jnp.zeros_like(x)))
        frozen = jax.tree.map(lambda new, old: _where(valid, new, old), new_carry, carry)
        return frozen, _where(valid, y, jnp.zeros_like(y))

    scan = nn.scan(
        step, variable_broadcast="params", split_rngs={"params": False, nn.DenyList("params"): True}
    )
    valid = (
        None
        if lengths is None
        else jnp.arange(num_steps, dtype=jnp.int32)[:, None] < lengths[None, :]
    )
    carry, outputs = scan(cell, initial_carry, (inputs, valid))
    if return_outputs == "last":
        return Unrolled(_last(outputs, lengths), carry)
    return Unrolled(outputs if time_major else jnp.swapaxes(outputs, 0, 1), carry)


def _where(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Chooses by sequence; valid: `[B]`, the others `[B, ...]`."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - 1)), new, old)


def _last(outputs: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Returns the last output that counts, `[B, H]`, of `[T, B, H]`."""
    if lengths is None:
        return outputs[-1]
    # For an empty sequence any step will do: all its outputs are zero.
    return outputs[jnp.maximum(lengths - 1, 0), jnp.arange(outputs.shape[1], dtype=jnp.int32)]
