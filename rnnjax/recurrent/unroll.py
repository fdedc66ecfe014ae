"""A cell over time."""

import functools
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from rnnjax.cells.types import Carry
from rnnjax.recurrent.arguments import (
    check_choice,
    check_count,
    check_initial_carry,
    checked_lengths,
    with_time_first,
)
from rnnjax.recurrent.chunks import chunk_length, cut_into_chunks, scan_chunks, where
from rnnjax.recurrent.factored import factored_layers
from rnnjax.recurrent.implementations import IMPLEMENTATIONS, Implementation, run_factored
from rnnjax.recurrent.outputs import output_source, output_struct
from rnnjax.recurrent.state import Results, State, Steps


class Unrolled(NamedTuple):
    outputs: Array  # [B, T, H]; [T, B, H] if time_major; [B, H] if only the last were asked for
    carry: Carry  # after the last step taken, leaves [B, ...]; or after every step, [B, T, ...]


def unroll(
    cell: nn.RNNCellBase,
    inputs: ArrayLike,
    *,
    initial_carry: Carry = None,
    lengths: ArrayLike | None = None,
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
    variable collections are not offered to it. Call it inside a module, or outside through
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
        "cudnn": cuDNN's LSTM, on a GPU. "fused": one kernel for all of time, for NVIDIA's GPUs;
        interpreted elsewhere, which is slow. "auto": what is fastest on the backend of those that
        the cell allows, by the table in `implementations.py`. A stack goes layer by layer.

    Raises:
      ValueError: if the shapes of inputs, lengths or initial carry do not fit, an option has a
        value that makes no sense, or the implementation cannot be had for this cell.
    """
    check_choice("implementation", implementation, IMPLEMENTATIONS)
    check_choice("return_outputs", return_outputs, ("all", "last"))
    check_choice("return_carry", return_carry, ("all", "last"))
    check_count("unroll_factor", unroll_factor)
    if truncate_every is not None:
        check_count("truncate_every", truncate_every)
    inputs = with_time_first(inputs, cell.num_feature_axes, time_major)
    num_steps, batch_size = inputs.shape[:2]
    if lengths is not None:
        lengths = checked_lengths(lengths, batch_size, num_steps)
    own_carry = cell.initialize_carry(jax.random.key(0), inputs.shape[1:])
    if initial_carry is None:
        initial_carry = own_carry
    else:
        check_initial_carry(initial_carry, own_carry)

    options: Any = {
        "reverse": reverse,
        "return_carry": return_carry,
        "remat": remat,
        "truncate_every": truncate_every,
        "unroll_factor": unroll_factor,
        "implementation": implementation,
    }
    in_chunks = remat or truncate_every is not None
    layers = () if in_chunks or implementation == "scan" else factored_layers(cell)
    if layers:
        carries = []
        for layer, start in zip(layers, initial_carry, strict=True):
            which = return_outputs if layer is layers[-1] else "all"
            inputs, carry = _unroll(layer, inputs, start, lengths, which, **options)
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
    inputs: Array,
    initial_carry: Carry,
    lengths: Array | None,
    return_outputs: str,
    *,
    reverse: bool,
    return_carry: str,
    remat: bool,
    truncate_every: int | None,
    unroll_factor: int,
    implementation: Implementation,
) -> Unrolled:
    """Does what `unroll` does, with the time first."""
    num_steps, in_chunks = inputs.shape[0], remat or truncate_every is not None
    chunk = chunk_length(num_steps, remat, truncate_every)
    last, source = _last_output(cell, initial_carry, inputs, return_outputs, truncate_every)
    state = State(initial_carry, last if source is None else None)
    steps = cut_into_chunks(inputs, lengths, chunk)
    every_output, every_carry = return_outputs == "all", return_carry == "all"

    def advance(state: State, valid: Array | None, carry: Carry, y: Array) -> tuple[State, Results]:
        """Returns the state after a step, and what is returned of it."""
        if valid is not None:
            carry = jax.tree.map(functools.partial(where, valid), carry, state.carry)
            y = where(valid, y, jnp.zeros_like(y) if state.last is None else state.last)
        results = (y if every_output else None, carry if every_carry else None)
        return State(carry, None if state.last is None else y), results

    def step(cell: nn.RNNCellBase, state: State, step: Steps) -> tuple[State, Results]:
        return advance(state, step.valid, *cell(state.carry, step.inputs))

    result = run_factored(
        implementation, cell, advance, state, steps, reverse, unroll_factor, every_carry, in_chunks
    )
    state, (outputs, carries) = result or scan_chunks(
        step,
        cell,
        state,
        steps,
        lengths,
        chunk=chunk,
        reverse=reverse,
        remat=remat,
        truncate=truncate_every is not None,
        unroll_factor=unroll_factor,
    )
    if num_steps % chunk:
        outputs, carries = jax.tree.map(lambda leaf: leaf[:num_steps], (outputs, carries))
    if last is not None:
        outputs = state.last if source is None else _pick(state.carry, source, lengths, last)
    assert outputs is not None
    return Unrolled(outputs, carries if every_carry else state.carry)


def _pick(carry: Carry, source: int, lengths: Array | None, nothing: Array) -> Array:
    """Returns the leaf of the last carry that is the last output, 0 for empty sequences."""
    outputs = jax.tree.leaves(carry)[source]
    return outputs if lengths is None else where(lengths > 0, outputs, nothing)


def _last_output(
    cell: nn.RNNCellBase,
    carry: Carry,
    inputs: Array,
    return_outputs: str,
    truncate_every: int | None,
) -> tuple[Array | None, int | None]:
    """Returns the last output of no step at all, zeros, and which leaf of the carry an output is.

    Where only the last output is asked for, it travels with the carry, if it is not a part of it
    anyway: T of them would have to be stored, and their gradients, which are zero.
    """
    if return_outputs == "all":
        return None, None
    struct = output_struct(cell, carry, inputs.shape[1:], inputs.dtype)
    last = jnp.zeros(struct.shape, struct.dtype)
    if truncate_every is not None:  # it would stop what a short sequence's carry takes back
        return last, None
    return last, output_source(cell, carry, inputs.shape[1:], inputs.dtype)


def _swap(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, 0, 1)
