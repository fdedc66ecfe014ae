"""An LSTM over all of time by cuDNN."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental import rnn

from rnnjax.cells.lstm import LSTMCarry, LSTMCell, LSTMParams
from rnnjax.interop.gates import reorder
from rnnjax.recurrent.gpu.replace import accelerate, accelerate_transpose


def run_cudnn(
    cell: nn.RNNCellBase, carry: Any, inputs: jax.Array, valid: jax.Array | None, reverse: bool
) -> tuple[LSTMCarry, jax.Array] | None:
    """Runs an LSTM by cuDNN, where it has such a one.

    Args:
      cell: bound to its parameters.
      carry: before the first step, leaves `[B, H]`.
      inputs: `[T, B, F]`.
      valid: `[T, B]`, whether a step counts: the first ones of each sequence; None: all do.
      reverse: go from the last step that counts to the first.

    Returns:
      The last carry, and the outputs `[T, B, H]`, 0 where a step does not count; None if there is
      no GPU, or the cell is not the LSTM that cuDNN has: all in float32, without peepholes,
      projection, clipping or another activation than tanh.
    """
    if not _is_there() or type(cell) is not LSTMCell or cell.activation is not jnp.tanh:
        return None
    if cell.use_peepholes or cell.cell_clip is not None or inputs.ndim != 3:
        return None
    params: LSTMParams = cell.cast_parameters(carry, inputs[0])
    leaves = jax.tree.leaves((params, carry, inputs))
    if params.projection is not None or any(leaf.dtype != jnp.float32 for leaf in leaves):
        return None
    return _run(cell.forget_bias, reverse, params, carry, inputs, valid)


def _is_there() -> bool:
    return jax.default_backend() == "gpu"


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run(
    forget_bias: float, reverse: bool, params: Any, carry: Any, inputs: Any, valid: Any
) -> tuple[Any, jax.Array]:
    return _forward(forget_bias, reverse, params, carry, inputs, valid)[:2]


@_run.defjvp
def _differentiate(
    forget_bias: float, reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> Any:
    final, outputs, *found = _forward(forget_bias, reverse, *primals)
    *moving, _ = tangents
    return (final, outputs), accelerate_transpose(
        functools.partial(_change, forget_bias, reverse),
        functools.partial(_backward_kernel, forget_bias, reverse),
        (primals, found),
        tuple(moving),
    )


def _scan(
    forget_bias: float, reverse: bool, params: Any, carry: Any, inputs: Any, valid: Any
) -> tuple[Any, jax.Array]:
    """What cuDNN equals."""
    cell = LSTMCell(params.kernel.shape[-1] // 4, forget_bias=forget_bias, parent=None)

    def step(carry: Any, now: Any) -> Any:
        x, valid = now
        new_carry, outputs = cell.step(params, carry, x)
        if valid is not None:
            new_carry = jax.tree.map(lambda n, o: jnp.where(valid[:, None], n, o), new_carry, carry)
            outputs = jnp.where(valid[:, None], outputs, 0.0)
        return new_carry, outputs

    return jax.lax.scan(step, carry, (inputs, valid), reverse=reverse)


def _change(forget_bias: float, reverse: bool, residuals: Any, tangents: Any) -> Any:
    (*moving, valid), _ = residuals

    def run(params: Any, carry: Any, inputs: Any) -> Any:
        return _scan(forget_bias, reverse, params, carry, inputs, valid)

    return jax.jvp(run, tuple(moving), tangents)[1]


def _forward(forget_bias: float, reverse: bool, *arguments: Any) -> Any:
    """Returns the last carry, the outputs, and what cuDNN keeps for the derivative."""
    kernel = functools.partial(_forward_kernel, forget_bias, reverse)
    kept = jax.eval_shape(functools.partial(kernel, False), *arguments)[2:]

    def plain(*arguments: Any) -> Any:
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), kept)
        return (*_scan(forget_bias, reverse, *arguments), *nothing)

    return accelerate(plain, kernel, *arguments)


def _forward_kernel(
    forget_bias: float, reverse: bool, interpret: bool, *arguments: Any
) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
    del interpret
    params, carry, inputs, valid = arguments
    given = _to_cudnn(forget_bias, reverse, valid, params, carry, inputs)
    features, units = inputs.shape[-1], carry.hidden.shape[-1]
    (y, *last), (*_, reserve) = rnn.lstm_fwd(
        *given, _lengths(inputs, valid), features, units, 1, 0.0, False, None
    )
    return *_from_cudnn(reverse, valid, carry, y, *last), y, reserve


def _backward_kernel(
    forget_bias: float, reverse: bool, interpret: bool, residuals: Any, cotangents: Any
) -> Any:
    del interpret
    (*moving, valid), (y, reserve) = residuals
    _, carry, inputs = moving
    given, take_back = jax.vjp(functools.partial(_to_cudnn, forget_bias, reverse, valid), *moving)
    last = jax.eval_shape(lambda: (given[1], given[2]))
    put_back = jax.linear_transpose(functools.partial(_from_cudnn, reverse, valid), carry, y, *last)
    carry_bar, *bars = put_back(tuple(cotangents))
    kept = (*given, _lengths(inputs, valid), y, reserve)
    features, units = inputs.shape[-1], carry.hidden.shape[-1]
    *given_bar, _ = rnn.lstm_bwd(features, units, 1, 0.0, False, None, kept, tuple(bars))
    params_bar, more_carry_bar, inputs_bar = take_back(tuple(given_bar))
    return params_bar, jax.tree.map(jnp.add, carry_bar, more_carry_bar), inputs_bar


def _lengths(inputs: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Returns the steps of each sequence, `[B]`; cuDNN has no empty one, and takes a step of it."""
    if valid is None:
        return jnp.full(inputs.shape[1], inputs.shape[0], jnp.int32)
    return jnp.maximum(valid.sum(0, dtype=jnp.int32), 1)


def _to_cudnn(
    forget_bias: float, reverse: bool, valid: Any, params: Any, carry: Any, inputs: Any
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns inputs `[B, T, F]`, h and c `[1, B, H]`, and all weights in one array."""
    units = carry.hidden.shape[-1]
    kernel = reorder(params.kernel, "ijfo", "ifjo").T
    bias = reorder(params.bias, "ijfo", "ifjo")
    bias = bias.at[units : 2 * units].add(forget_bias)
    parts = (kernel[:, :-units], kernel[:, -units:], bias, jnp.zeros_like(bias))
    weights = jnp.concatenate([part.ravel() for part in parts])
    x = _turn(inputs, valid) if reverse else inputs
    return jnp.swapaxes(x, 0, 1), carry.hidden[None], carry.cell[None], weights


def _from_cudnn(
    reverse: bool, valid: Any, carry: Any, y: jax.Array, hidden: jax.Array, cell: jax.Array
) -> tuple[LSTMCarry, jax.Array]:
    """Returns the last carry, and the outputs with time leading."""
    final, outputs = LSTMCarry(cell[0], hidden[0]), jnp.swapaxes(y, 0, 1)
    if reverse:
        outputs = _turn(outputs, valid)
    if valid is not None:
        some = valid.any(0)[:, None]
        final = jax.tree.map(lambda new, old: jnp.where(some, new, old), final, carry)
        outputs = jnp.where(valid[..., None], outputs, 0.0)
    return final, outputs


def _turn(sequences: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Returns each sequence, `[T, B, ...]`, with the steps that count in the opposite order."""
    if valid is None:
        return sequences[::-1]
    times = jnp.arange(sequences.shape[0], dtype=jnp.int32)[:, None]
    turned = jnp.where(valid, valid.sum(0, dtype=jnp.int32) - 1 - times, times)
    return jnp.take_along_axis(sequences, turned[..., None], axis=0)
