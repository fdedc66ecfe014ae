"""A cell over time."""

import functools
import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rnnjax import gpu
from rnnjax.cells.noise import VARIATIONAL
from rnnjax.cells.outputs import output_source, output_struct
from rnnjax.checks import check_choice, check_count, check_initial_carry, checked_lengths, named
from rnnjax.recurrence import run_split, split_cell
from rnnjax.stack import Stack


class Unrolled(NamedTuple):
    outputs: jax.Array  # [B, T, H]; [T, B, H] if time_major; [B, H] if only the last were asked for
    carry: Any  # after the last step taken, leaves [B, ...]; or after every step, [B, T, ...]


class _Steps(NamedTuple):
    """What the scan walks over, a row a step."""

    inputs: jax.Array  # [T, B, F]
    valid: jax.Array | None  # [T, B], whether a step counts; None: all do


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
    >>> from rnnjax.unroll import unroll
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

    whole = not remat and truncate_every is None
    if whole and type(cell) is Stack and not cell.drops and all(map(split_cell, cell.cells)):
        # Layer by layer, each by `recur`; the same as step by step.
        carries = []
        for layer, start in zip(cell.cells, initial_carry, strict=True):
            inputs, carry = unroll(
                layer,
                inputs,
                initial_carry=start,
                lengths=lengths,
                reverse=reverse,
                time_major=True,
                return_outputs=return_outputs if layer is cell.cells[-1] else "all",
                return_carry=return_carry,
                unroll_factor=unroll_factor,
            )
            carries.append(carry)
        outputs, carry = inputs, tuple(carries)
        if not time_major and return_outputs == "all":
            outputs = _swap(outputs)
        if not time_major and return_carry == "all":
            carry = jax.tree.map(_swap, carry)
        return Unrolled(outputs, carry)

    segment = truncate_every or (math.ceil(math.sqrt(num_steps)) if remat else num_steps)
    segment = min(segment, num_steps)
    num_segments = math.ceil(num_steps / segment)
    padding = num_segments * segment - num_steps
    valid = None
    if lengths is not None or padding:
        ends = jnp.full((batch_size,), num_steps, jnp.int32) if lengths is None else lengths
        valid = jnp.arange(num_steps + padding, dtype=jnp.int32)[:, None] < ends
        inputs = jnp.pad(inputs, [(0, padding)] + [(0, 0)] * (inputs.ndim - 1))

    # Where only the last output is asked for, it travels with the carry, if it is not a part of it
    # anyway: T of them would have to be kept, and their gradients, which are zero.
    last, source = None, None
    if return_outputs == "last":
        struct = output_struct(cell, initial_carry, inputs.shape[1:], inputs.dtype)
        last = jnp.zeros(struct.shape, struct.dtype)
        if truncate_every is None:  # which would stop what a short sequence's carry takes back
            source = output_source(cell, initial_carry, inputs.shape[1:], inputs.dtype)
    state = _State(initial_carry, last if source is None else None)

    if valid is not None:
        # Padding is cleared on the way in as well: NaN times a zero gradient would be NaN.
        inputs = jax.vmap(_where)(valid, inputs, jnp.zeros_like(inputs))
    steps = _Steps(inputs, valid)

    def advance(state: _State, valid: jax.Array | None, carry: Any, y: Any) -> tuple[_State, Any]:
        """Returns the state after a step, and what is kept of it."""
        if valid is not None:
            carry = jax.tree.map(functools.partial(_where, valid), carry, state.carry)
            y = _where(valid, y, jnp.zeros_like(y) if state.last is None else state.last)
        kept = (y if last is None else None, carry if return_carry == "all" else None)
        return _State(carry, None if state.last is None else y), kept

    def run_step(cell: nn.RNNCellBase, state: _State, step: _Steps) -> tuple[_State, Any]:
        return advance(state, step.valid, *cell(state.carry, step.inputs))

    def run_segment(cell: nn.RNNCellBase, state: _State, segment: Any) -> tuple[_State, Any]:
        is_first, steps = segment
        if truncate_every is not None:
            carry = jax.tree.map(
                lambda leaf: _where(is_first, leaf, jax.lax.stop_gradient(leaf)), state.carry
            )
            state = state._replace(carry=carry)
        return run_steps(cell, state, steps)

    run_steps = _scan(run_step, reverse, unroll_factor)
    if remat:
        run_steps = nn.remat(run_steps, prevent_cse=False)
    run: Any = None
    if whole and (split := split_cell(cell)) is not None:
        if return_carry == "last" and gpu.faster(split, (state, steps)) == "cudnn":
            from rnnjax.gpu.cudnn import run_cudnn

            run = run_cudnn(split, initial_carry, *steps, reverse)
            run = run and (_State(run[0], None), (run[1], None))
        run = run or run_split(split, advance, state, *steps, reverse, unroll_factor)
    if run is not None:
        state, kept = run
    elif num_segments == 1:
        state, kept = named(run_steps)(cell, state, steps)
    else:
        # By sequence: backwards, a short one starts in an earlier piece than a long one.
        order = jnp.arange(num_segments, dtype=jnp.int32)[:, None]
        ends = jnp.full((batch_size,), num_steps, jnp.int32) if lengths is None else lengths
        first = (ends - 1) // segment if reverse else jnp.zeros_like(ends)
        is_first = order >= first if reverse else order == first
        split = jax.tree.map(lambda a: a.reshape(num_segments, segment, *a.shape[1:]), steps)
        state, by_segment = named(_scan(run_segment, reverse))(cell, state, (is_first, split))
        kept = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num_steps], by_segment)
    outputs, carries = kept if time_major else jax.tree.map(_swap, kept)
    if last is not None and source is not None:
        outputs = jax.tree.leaves(state.carry)[source]
        if lengths is not None:
            outputs = _where(lengths > 0, outputs, last)
    elif last is not None:
        outputs = state.last
    return Unrolled(outputs, carries if return_carry == "all" else state.carry)


def _scan(body: Any, reverse: bool, unroll_factor: int = 1) -> Any:
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


def _swap(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, 0, 1)


def _where(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Chooses by sequence; valid: `[B]`, the others `[B, ...]`."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - 1)), new, old)
