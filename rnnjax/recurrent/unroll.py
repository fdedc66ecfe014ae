"""A cell over time."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from rnnjax.cells.types import Carry
from rnnjax.recurrent.arguments import (
    check_cell,
    check_choice,
    check_chunks,
    check_inputs,
    checked_flags,
    checked_initial_carry,
    checked_lengths,
)
from rnnjax.recurrent.chunks import (
    chunk_length,
    cut_into_chunks,
    scan_chunks,
    where,
    with_time_first,
)
from rnnjax.recurrent.factored import factored_layers
from rnnjax.recurrent.flags import make_flags
from rnnjax.recurrent.implementations import IMPLEMENTATIONS, Implementation, run_factored
from rnnjax.recurrent.outputs import bound_to, last_output, no_output
from rnnjax.recurrent.placement import place, placement_of
from rnnjax.recurrent.stack import under_its_name
from rnnjax.recurrent.state import Flags, Results, State, Steps


class Unrolled(NamedTuple):
    outputs: Array  # [B, T, H]; [T, B, H] if time_major; [B, H] if only the last were asked for
    carry: Carry  # after the last step taken, leaves [B, ...]; or after every step, [B, T, ...]


def unroll(
    cell: nn.RNNCellBase,
    inputs: ArrayLike,
    *,
    initial_carry: Carry = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    reverse: bool = False,
    time_major: bool = False,
    return_outputs: Literal["all", "last"] = "all",
    return_carry: Literal["all", "last"] = "last",
    remat: bool = False,
    truncate_every: int | None = None,
    unroll_factor: int = 1,
    implementation: Implementation = "auto",
) -> Unrolled:
    """Runs a cell over a batch of sequences: TF1's `dynamic_rnn`.

    Time is a `jax.lax.scan`, lifted by flax over the cell's parameters (the same at each step) and
    random streams (new at each step, but for `variational_dropout`; which masks a key gives also
    depends on `remat` and `truncate_every`). A cell's state belongs in its carry, so that other
    variable collections are not offered to it; what it sows comes back with the time first, `[T, B,
    ...]`. Call it inside a module, or outside through
    `nn.apply`:

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.recurrent import unroll
    >>> cell, inputs = LSTMCell(features=4), jnp.ones((2, 7, 3))
    >>> variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    >>> outputs, carry = nn.apply(unroll, cell)(variables, inputs, lengths=jnp.array([7, 3]))
    >>> outputs.shape, carry.hidden.shape
    ((2, 7, 4), (2, 4))

    A long sequence can come in parts: the carry of one is the `initial_carry` of the next.

    Args:
      cell: the cell, bound to its parameters.
      inputs: `[B, T, F]`, or `[T, B, F]` with `time_major`; a cell with several feature axes takes
        them in place of F.
      initial_carry: the carry before the first step, leaves `[B, ...]`; None: the cell's own.
      lengths: `[B]`, integers in [0, T]: the steps of each sequence that count. Beyond them outputs
        are zero, the carry stays as it is, and nothing in the padding matters, NaN included. Under
        `jit` their values cannot be checked: below 0 counts as 0, above T as T.
      mask: `[B, T]`, or `[T, B]` with `time_major`, bool: whether a step counts, wherever it is;
        what does not count is as beyond `lengths`.
      resets: as `mask`, bool: whether a new sequence begins at a step, as an episode or the next of
        several sequences in a row: the carry before it, in reverse the one after it, is the initial
        carry again. At a step that does not count it holds for the next one that does.
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
        (Williams & Peng, 1990), in consecutive chunks. With `remat`, each chunk is computed again,
        and keeps what its own steps need.
      unroll_factor: steps in one iteration of the compiled loop.
      implementation: what runs the steps. "scan": a `jax.lax.scan` of the cell. "deferred": the
        same, with the gradient of the weights in one product after the loop (`deferred.py`).
        "cudnn": cuDNN's LSTM, on a GPU. "fused": one kernel for all of time, for NVIDIA GPUs, slow
        elsewhere. "auto": the fastest that the cell allows, by the table in implementations.py. A
        stack goes layer by layer.

    Raises:
      ValueError: if the shapes of inputs, lengths, mask, resets or initial carry do not fit, an
        option has a value that makes no sense, or the implementation cannot be had for this cell.
    """
    check_choice("implementation", implementation, IMPLEMENTATIONS)
    check_choice("return_outputs", return_outputs, ("all", "last"))
    check_choice("return_carry", return_carry, ("all", "last"))
    check_cell(cell)
    array = check_inputs(inputs, cell.num_feature_axes, time_major)
    num_steps, batch_size = array.shape[:2] if time_major else array.shape[1::-1]
    check_chunks(num_steps, remat, truncate_every, unroll_factor)
    lengths = checked_lengths(lengths, batch_size, num_steps)
    mask = checked_flags("mask", mask, batch_size, num_steps, time_major)
    resets = checked_flags("resets", resets, batch_size, num_steps, time_major)
    flags = make_flags(num_steps, lengths, mask, resets, reverse)
    own_carry = cell.initialize_carry(jax.random.key(0), (batch_size, *array.shape[2:]))
    initial_carry = checked_initial_carry(initial_carry, own_carry)
    examples = [(array, 1 if time_major else 0), (flags, 1), (initial_carry, 0)]
    placement = placement_of(examples, beside=bound_to(cell))
    flags = place(flags, 1, placement)
    xs: Array = with_time_first(array, flags.valid, time_major, placement)
    initial_carry = place(initial_carry, 0, placement)

    options: Any = {
        "reverse": reverse,
        "return_carry": return_carry,
        "remat": remat,
        "truncate_every": truncate_every,
        "unroll_factor": unroll_factor,
        "implementation": implementation,
        "only_lengths": mask is None,
    }
    in_one_scan = remat or truncate_every is not None or implementation == "scan"
    if layers := () if in_one_scan else factored_layers(cell):
        outputs, carry = _unroll_layers(layers, xs, initial_carry, flags, return_outputs, **options)
    else:
        outputs, carry = _unroll(cell, xs, initial_carry, flags, return_outputs, **options)
    if not time_major and return_outputs == "all":
        outputs = _swap(outputs)
    if not time_major and return_carry == "all":
        carry = jax.tree.map(_swap, carry)
    return Unrolled(outputs, carry)


def _unroll_layers(
    layers: Sequence[nn.RNNCellBase],
    inputs: Array,
    initial_carry: tuple[Carry, ...],
    flags: Flags,
    return_outputs: str,
    **options: Any,
) -> Unrolled:
    """Does what `_unroll` does with a stack, one layer over all of time after the other."""
    carries = []
    for layer, start in zip(layers, initial_carry, strict=True):
        which = return_outputs if layer is layers[-1] else "all"
        inputs, carry = _unroll(layer, inputs, start, flags, which, **options)
        carries.append(carry)
    return Unrolled(inputs, tuple(carries))


@under_its_name
def _unroll(
    cell: nn.RNNCellBase,
    inputs: Array,
    initial_carry: Carry,
    flags: Flags,
    return_outputs: str,
    *,
    reverse: bool,
    return_carry: str,
    remat: bool,
    truncate_every: int | None,
    unroll_factor: int,
    implementation: Implementation,
    only_lengths: bool,
) -> Unrolled:
    """Does what `unroll` does, with the time first."""
    num_steps = inputs.shape[0]
    chunk = chunk_length(num_steps, remat, truncate_every)
    last, source = no_output(cell, initial_carry, inputs, return_outputs)
    start = None if flags.restarts is None else initial_carry
    state = State(initial_carry, last if source is None else None, start)
    steps = cut_into_chunks(inputs, flags, chunk)
    every_carry = return_carry == "all"
    advance = functools.partial(_advance, return_outputs == "all", every_carry)

    def step(cell: nn.RNNCellBase, state: State, step: Steps) -> tuple[State, Results]:
        return advance(state, step.flags, *cell(state.carry, step.inputs))

    result = run_factored(
        implementation,
        cell,
        advance,
        state,
        steps,
        reverse,
        unroll_factor,
        every_carry,
        in_chunks=remat or truncate_every is not None,
        only_lengths=only_lengths,
    )
    state, (outputs, carries) = result or scan_chunks(
        step,
        cell,
        state,
        steps,
        chunk=chunk,
        reverse=reverse,
        remat=remat,
        truncate=truncate_every is not None,
        unroll_factor=unroll_factor,
    )
    if num_steps % chunk:
        outputs, carries = jax.tree.map(lambda leaf: leaf[:num_steps], (outputs, carries))
    if last is not None:
        outputs = (
            state.last if source is None else last_output(state.carry, source, flags.valid, last)
        )
    assert outputs is not None
    return Unrolled(outputs, carries if every_carry else state.carry)


def _advance(
    every_output: bool, every_carry: bool, state: State, flags: Flags, carry: Carry, y: Array
) -> tuple[State, Results]:
    """Returns the state after a step, and what is returned of it."""
    if flags.valid is not None:
        carry = jax.tree.map(functools.partial(where, flags.valid), carry, state.carry)
        y = where(flags.valid, y, jnp.zeros_like(y) if state.last is None else state.last)
    results = (y if every_output else None, carry if every_carry else None)
    if flags.restarts is not None:
        carry = jax.tree.map(functools.partial(where, flags.restarts), state.start, carry)
    return State(carry, None if state.last is None else y, state.start), results


def _swap(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, 0, 1)
