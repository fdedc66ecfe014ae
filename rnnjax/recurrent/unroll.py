"""A cell over time."""

import functools
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rnnjax.recurrent import gpu
from rnnjax.recurrent.arguments import (
    check_choice,
    check_count,
    check_initial_carry,
    checked_lengths,
)
from rnnjax.recurrent.chunks import Steps, cut_to_pieces, piece_length, scan_pieces, where
from rnnjax.recurrent.factored import run_split, split_cell
from rnnjax.recurrent.outputs import output_source, output_struct
from rnnjax.recurrent.stack import Stack


class Unrolled(NamedTuple):
    outputs: jax.Array  # [B, T, H]; [T, B, H] if time_major; [B, H] if only the last were asked for
    carry: Any  # after the last step taken, leaves [B, ...]; or after every step, [B, T, ...]


class _State(NamedTuple):
    """What the scan carries."""

    carry: Any
    last: jax.Array | None  # [B, H], the output of the last step that counted; None: not asked for


def unroll(
    cell: nn.RNNCellBase,
    inputs: jax.Array,
    *,
    initial_carry: Any = None,
    lengths: ArrayLike | None = None,
    reverse: bool = False,
    time_major: bool = False,
    return_outputs: Literal["all", "last"] = "all",
    return_carry: Literal["all", "last"] = "last",
    remat: bool = False,
    truncate_every: int | None = None,
    unroll_factor: int = 1,
) -> Unrolled:
    """Runs a cell over a batch of sequences: TF1's `dynamic_rnn`.

    Time is a `jax.lax.scan`, lifted by flax over the cell's parameters (the same at each step) and
    random streams (new at each step, but for `variational_dropout`; which masks a key gives also
    depends on `remat` and `truncate_every`). A cell's state belongs in its carry, so that other
    variable collections are not offered to it. Call it inside a module, or outside through
    `nn.apply`:

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.recurrent.unroll import unroll
    >>> cell, inputs = LSTMCell(features=4), jnp.ones((2, 7, 3))
    >>> variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    >>> outputs, carry = nn.apply(unroll, cell)(variables, inputs, lengths=jnp.array([7, 3]))
    >>> outputs.shape, carry.hidden.shape
    ((2, 7, 4), (2, 4))

    A long sequence can come in pieces: the carry of one is the `initial_carry` of the next.

    Args:
      cell: the cell, bound to its parameters.
      inputs: `[B, T, F]`, or `[T, B, F]` with `time_major`; a cell with several feature axes takes
        them in place of F.
      initial_carry: the carry before the first step, leaves `[B, ...]`; None: the cell's own.
      lengths: `[B]`, integers in [0, T]: the steps of each sequence that count. Beyond them outputs
        are zero, the carry stays as it is, and nothing in the padding matters, NaN included. Under
        `jit` their values cannot be checked: below 0 counts as 0, above T as T.
      reverse: go from the last step that counts to the first. Each output stays at its step.
      time_major: whether time leads the inputs, the outputs and all carries.
      return_outputs: the outputs of all steps, or only the one of the last step taken (zero for an
        empty sequence).
      return_carry: the carry after the last step taken, or after each step.
      remat: keep only about sqrt(T) carries for the gradient and compute the steps between them
        again (Chen et al., "Training deep nets with sublinear memory cost", 2016): the same
        gradients for about a third more time. What is asked for of every step, outputs or carries,
        still takes its T-fold memory.
      truncate_every: steps after which gradients stop: truncated backpropagation through time
        (Williams & Peng, 1990), in consecutive pieces. With `remat`, each piece is computed again,
        and keeps what its own steps need.
      unroll_factor: steps in one iteration of the compiled loop.

    Raises:
      ValueError: if the shapes of inputs, lengths or initial carry do not fit, or an option has a
        value that makes no sense.
    """
    check_choice("return_outputs", return_outputs, ("all", "last"))
    check_choice("return_carry", return_carry, ("all", "last"))
    check_count("unroll_factor", unroll_factor)
    if truncate_every is not None:
        check_count("truncate_every", truncate_every)
    inputs = jnp.asarray(inputs)
    rank = 2 + cell.num_feature_axes
    if inputs.ndim != rank:
        layout = "[T, B, ...]" if time_major else "[B, T, ...]"
        raise ValueError(f"inputs must be {layout} with {rank} axes, got shape {inputs.shape}")
    if not time_major:
        inputs = jnp.swapaxes(inputs, 0, 1)
    num_steps, batch_size = inputs.shape[:2]
    if num_steps == 0:
        raise ValueError(
            f"inputs must have at least one step, got shape {inputs.shape}, time first"
        )
    if lengths is not None:
        lengths = checked_lengths(lengths, batch_size, num_steps)
    own_carry = cell.initialize_carry(jax.random.key(0), inputs.shape[1:])
    if initial_carry is None:
        initial_carry = own_carry
    else:
        check_initial_carry(initial_carry, own_carry)

    options = {
        "reverse": reverse,
        "return_carry": return_carry,
        "remat": remat,
        "truncate_every": truncate_every,
        "unroll_factor": unroll_factor,
    }
    by_layer = type(cell) is Stack and not (remat or truncate_every or cell.drops)
    if by_layer and all(map(split_cell, cell.cells)):
        carries = []
        for layer, start in zip(cell.cells, initial_carry, strict=True):
            shown = return_outputs if layer is cell.cells[-1] else "all"
            inputs, carry = _unroll(layer, inputs, start, lengths, shown, **options)
            carries.append(carry)
        outputs, carry = inputs, tuple(carries)
    else:
        outputs, carry = _unroll(cell, inputs, initial_carry, lengths, return_outputs, **options)
    if not time_major and return_outputs == "all":
        outputs = _swap(outputs)
    if not time_major and return_carry == "all":
        carry = jax.tree.map(_swap, carry)
    return Unrolled(outputs, carry)


def _unroll(
    cell: nn.RNNCellBase,
    inputs: jax.Array,
    initial_carry: Any,
    lengths: jax.Array | None,
    return_outputs: str,
    *,
    reverse: bool,
    return_carry: str,
    remat: bool,
    truncate_every: int | None,
    unroll_factor: int,
) -> Unrolled:
    """Does what `unroll` does, with the time first."""
    num_steps = inputs.shape[0]
    piece = piece_length(num_steps, remat, truncate_every)
    # Where only the last output is asked for, it travels with the carry, if it is not a part of it
    # anyway: T of them would have to be kept, and their gradients, which are zero.
    last, source = None, None
    if return_outputs == "last":
        struct = output_struct(cell, initial_carry, inputs.shape[1:], inputs.dtype)
        last = jnp.zeros(struct.shape, struct.dtype)
        if truncate_every is None:  # which would stop what a short sequence's carry takes back
            source = output_source(cell, initial_carry, inputs.shape[1:], inputs.dtype)
    state = _State(initial_carry, last if source is None else None)
    steps, keeps_outputs = cut_to_pieces(inputs, lengths, piece), return_outputs == "all"

    def advance(state: _State, valid: jax.Array | None, carry: Any, y: Any) -> tuple[_State, Any]:
        """Returns the state after a step, and what is kept of it."""
        if valid is not None:
            carry = jax.tree.map(functools.partial(where, valid), carry, state.carry)
            y = where(valid, y, jnp.zeros_like(y) if state.last is None else state.last)
        kept = (y if keeps_outputs else None, carry if return_carry == "all" else None)
        return _State(carry, None if state.last is None else y), kept

    def step(cell: nn.RNNCellBase, state: _State, now: Steps) -> tuple[_State, Any]:
        return advance(state, now.valid, *cell(state.carry, now.inputs))

    run: Any = None
    if not remat and truncate_every is None and (split := split_cell(cell)) is not None:
        if return_carry == "last" and gpu.faster(split, (state, steps)) == "cudnn":
            from rnnjax.recurrent.gpu.cudnn import run_cudnn

            run = run_cudnn(split, initial_carry, *steps, reverse)
            run = run and (_State(run[0], None), (run[1], None))
        run = run or run_split(split, advance, state, *steps, reverse, unroll_factor)
    state, (outputs, carries) = run or scan_pieces(
        step,
        cell,
        state,
        steps,
        lengths,
        piece=piece,
        reverse=reverse,
        remat=remat,
        truncate=truncate_every is not None,
        unroll_factor=unroll_factor,
    )
    if num_steps % piece:
        outputs, carries = jax.tree.map(lambda leaf: leaf[:num_steps], (outputs, carries))
    if last is not None and source is not None:
        outputs = jax.tree.leaves(state.carry)[source]
        if lengths is not None:
            outputs = where(lengths > 0, outputs, last)
    elif last is not None:
        outputs = state.last
    return Unrolled(outputs, carries if return_carry == "all" else state.carry)


def _swap(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, 0, 1)
