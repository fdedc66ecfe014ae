"""An LSTM over all of time by cuDNN, as `jax.experimental.rnn` has it."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import rnn
from jaxtyping import Array, Bool, Float

from rnnjax.cells.linear import Dense
from rnnjax.cells.lstm import LSTMCarry, LSTMCell
from rnnjax.recurrent.factored import Factored, Steps, UnavailableError
from rnnjax.recurrent.gpu.differentiable import Kernel, run_kernel

Arrays: TypeAlias = tuple[Array, Array, Array, Array]  # [B, T, F]; h and c [1, B, H]; all weights


def scan_cudnn(
    factored: Factored, state: Any, steps: Steps, *, reverse: bool
) -> tuple[LSTMCarry, Float[Array, "T B H"]]:
    """Runs an LSTM by cuDNN.

    Args:
      factored: the cell.
      state: before the first step, with the cell's carry, leaves `[B, H]`, in a field `carry`.
      steps: all of time; the first steps of each sequence count.
      reverse: go from the last step that counts to the first.

    Returns:
      The last carry, and the outputs `[T, B, H]`, 0 where a step does not count.

    Raises:
      UnavailableError: if there is no GPU, or the cell is not the LSTM that cuDNN has: all in
        float32, without peepholes, projection, clipping or another activation than tanh.
    """
    _check(factored, state, steps)
    inputs, valid = steps.inputs, steps.flags.valid
    lengths = jnp.full(inputs.shape[1], inputs.shape[0], jnp.int32)
    if valid is not None:  # cuDNN has no empty sequence: it takes a step of it, and none is read
        lengths = jnp.maximum(valid.sum(0, dtype=jnp.int32), 1)
    kernel = _kernel(inputs.shape[-1], state.carry.hidden.shape[-1])
    arrays = (
        jnp.swapaxes(_turn(inputs, valid) if reverse else inputs, 0, 1),
        state.carry.hidden[None],
        state.carry.cell[None],
        _weights(factored.products, factored.cell.forget_bias),
    )
    y, hidden, cell = run_kernel(kernel, arrays, lengths)
    final, outputs = LSTMCarry(cell[0], hidden[0]), jnp.swapaxes(y, 0, 1)
    if reverse:
        outputs = _turn(outputs, valid)
    if valid is not None:
        not_empty = valid.any(0)[:, None]
        final = jax.tree.map(lambda new, old: jnp.where(not_empty, new, old), final, state.carry)
        outputs = jnp.where(valid[..., None], outputs, 0)
    return final, outputs


def _check(factored: Factored, state: Any, steps: Steps) -> None:
    cell = factored.cell
    if jax.default_backend() != "gpu":
        raise UnavailableError("JAX finds no GPU")
    if type(cell) is not LSTMCell:
        raise UnavailableError("cuDNN has no such cell")
    if cell.cell_clip is not None or cell.activation is not jnp.tanh:
        raise UnavailableError("cuDNN's LSTM has no clipping, and no other activation than tanh")
    for leaf in jax.tree.leaves((factored.products, state.carry, steps.inputs)):
        if leaf.dtype != jnp.float32 or not leaf.size:
            raise UnavailableError(f"cuDNN's LSTM has no {leaf.dtype} of shape {leaf.shape} here")


def _kernel(features: int, units: int) -> Kernel:
    """Returns cuDNN's LSTM: of its arguments and the lengths, as it takes them."""
    one_layer = (features, units, 1, 0.0, False)  # without dropout, in one direction

    def plain(arrays: Arrays, lengths: Array) -> tuple[Array, Array, Array]:
        parts = rnn.unpack_lstm_weights(arrays[3], features, units, 1, False)
        return rnn.lstm_ref(*arrays[:3], *parts, lengths, *one_layer)

    def forward(arrays: Arrays, lengths: Array) -> tuple[Any, Any]:
        return rnn.lstm_fwd(*arrays, lengths, *one_layer, None)

    def backward(arrays: Arrays, lengths: Array, residuals: Any, cotangents: Any) -> Any:
        return rnn.lstm_bwd(*one_layer, None, residuals, cotangents)[:4]

    return Kernel(plain, sequential_vmap(forward), sequential_vmap(backward))


def _weights(product: Dense, forget_bias: float) -> Array:
    """Returns kernel and bias as cuDNN has them: of x and h, its gates i, f, j, o; two biases."""

    def reorder(array: Array) -> Array:
        i, j, f, o = jnp.split(array, 4, axis=-1)
        return jnp.concatenate([i, f, j, o], axis=-1)

    assert product.bias is not None
    units = product.bias.size // 4
    kernel, bias = reorder(product.kernel), reorder(product.bias)
    bias = bias.at[units : 2 * units].add(forget_bias)
    parts = kernel[:-units].T, kernel[-units:].T, bias, jnp.zeros_like(bias)
    return jnp.concatenate([part.ravel() for part in parts])


def _turn(
    sequences: Float[Array, "T B W"], valid: Bool[Array, "T B"] | None
) -> Float[Array, "T B W"]:
    """Returns each sequence with the steps that count in the opposite order."""
    if valid is None:
        return sequences[::-1]
    times = jnp.arange(sequences.shape[0], dtype=jnp.int32)[:, None]
    turned = jnp.where(valid, valid.sum(0, dtype=jnp.int32) - 1 - times, times)
    return jnp.take_along_axis(sequences, turned[..., None], axis=0)
