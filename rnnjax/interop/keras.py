"""Weights of Keras 3's `SimpleRNN`, `GRU`, `LSTM` and `Bidirectional`.

Keras has the gates side by side on the last axis, in the order of `GATE_ORDERS`, as its source
says: https://github.com/keras-team/keras/tree/master/keras/src/layers/rnn
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rnnjax.cells import BasicRNNCell, Cell, GRUCell, LSTMCell
from rnnjax.interop import convert, gates
from rnnjax.interop.checks import check_biases_are_zero, check_fields

# In Keras' words: z (update), r (reset), h; and i, f, c, o.
GATE_ORDERS = {BasicRNNCell: "c", GRUCell: "urc", LSTMCell: "ifjo"}


def load(model: nn.Module, weights: Sequence[npt.ArrayLike]) -> dict[str, Any]:
    """Returns a model's params from a Keras layer's `get_weights()`.

    The model is a BasicRNNCell for `SimpleRNN`, a GRUCell for `GRU` (`reset_after=True` is Keras'
    default), an LSTMCell with `forget_bias=0` for `LSTM`, a `Bidirectional` of these, or a `Stack`
    or a `StackedBidirectional` for several layers, their weights one after the other. Those of
    Keras 2's `CuDNNLSTM` and `CuDNNGRU` (`reset_after=True`) are told by their shapes. Without
    biases (`use_bias=False`, in all layers), ours are zero. Activations are not in the weights.

    >>> import numpy as np
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.interop import keras
    >>> weights = [np.ones((3, 16)), np.ones((4, 16)), np.ones(16)]  # or LSTM(4)'s get_weights()
    >>> params = keras.load(LSTMCell(4, forget_bias=0), weights)
    >>> {name: array.shape for name, array in params.items()}
    {'kernel': (7, 16), 'bias': (16,)}

    Args:
      model: says which layers there are, and of which cell.
      weights: kernel `[F, G H]`, recurrent kernel `[H, G H]` and bias `[G H]` (`[2, G H]` of a GRU
        with `reset_after`) of each layer with G gates, forward before backward, of any float dtype.

    Returns:
      The params in the dtype of the model's parameters.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that Keras
        does not have.
    """
    paths = convert.cells_by_path(model, _keras(use_bias=True))
    use_bias = len(weights) != 2 * len(paths)
    if len(weights) == 3 * len(paths):
        layers = zip(paths.values(), weights[::3], weights[1::3], weights[2::3], strict=True)
        weights = [array for layer in layers for array in _from_cudnn(*layer)]
    names = ["/".join((*path, name)) for path in paths for name in _names(use_bias)]
    names += [f"weights[{n}]" for n in range(len(names), len(weights))]
    arrays = dict(zip(names, weights, strict=False))
    for path, cell in paths.items():
        bias = arrays.get("/".join((*path, "bias")))
        if isinstance(cell, GRUCell) and bias is not None:
            resets_after = np.ndim(bias) == 2
            if resets_after != cell.reset_after:
                raise ValueError(
                    f"these are weights of a Keras GRU with reset_after={resets_after}"
                    f"{', the default' if resets_after else ''}: load them into a GRUCell with "
                    f"reset_after={resets_after}"
                )
    return convert.load(model, arrays, _keras(use_bias=use_bias))


def save(model: nn.Module, params: convert.Params, *, use_bias: bool = True) -> list[np.ndarray]:
    """Returns a model's params as what `set_weights` of a Keras layer expects; `load`'s inverse.

    >>> import jax
    >>> from rnnjax.cells import GRUCell
    >>> from rnnjax.interop import keras
    >>> cell = GRUCell(4, reset_after=True)
    >>> carry = cell.initialize_carry(jax.random.key(0), (1, 3))
    >>> params = cell.init(jax.random.key(0), carry, jax.numpy.ones((1, 3)))["params"]
    >>> [array.shape for array in keras.save(cell, params)]
    [(3, 12), (4, 12), (2, 12)]

    Args:
      model: as for `load`.
      params: the model's.
      use_bias: whether the Keras layers have biases; without them the model's must be zero.

    Returns:
      The arrays in the order and with the shapes that `load` expects, and the dtypes of the params.

    Raises:
      ValueError: for params that are not the model's, and for a model that Keras does not have.
    """
    if not use_bias:
        check_biases_are_zero(params)
    arrays = convert.save(model, params, _keras(use_bias=use_bias))
    return [np.array(array) for array in arrays.values()]


def _keras(*, use_bias: bool) -> convert.Framework:
    save_cell = functools.partial(_save_cell, use_bias=use_bias)
    return convert.Framework("Keras", GATE_ORDERS, save_cell, _load_cell)


def _from_cudnn(cell: Cell, *weights: npt.ArrayLike) -> tuple[npt.ArrayLike, ...]:
    """Returns the weights of one layer, once they are of `CuDNNLSTM` or `CuDNNGRU`, as of others.

    Those layers of Keras 2 are told by a second bias of each gate, in one vector. The kernel of a
    gate lies in memory as its transposed one would, and its recurrent kernel is transposed.
    """
    (*_, columns), bias_shape = np.shape(weights[0]), np.shape(weights[2])
    if bias_shape != (2 * columns,) or type(cell) not in (GRUCell, LSTMCell):
        return weights
    kernel, recurrent_kernel, bias = map(jnp.asarray, weights)
    count = len(GATE_ORDERS[type(cell)])
    kernels = [k.reshape(-1, len(k)).T for k in jnp.split(kernel, count, axis=1)]
    recurrent_kernels = [k.T for k in jnp.split(recurrent_kernel, count, axis=1)]
    biases = bias.reshape(2, -1)
    return (
        jnp.concatenate(kernels, axis=1),
        jnp.concatenate(recurrent_kernels, axis=1),
        biases.sum(0) if isinstance(cell, LSTMCell) else biases,
    )


def _names(use_bias: bool) -> tuple[str, ...]:
    return ("kernel", "recurrent_kernel", "bias") if use_bias else ("kernel", "recurrent_kernel")


def _save_cell(cell: Cell, params: convert.SavedArrays, *, use_bias: bool) -> convert.SavedArrays:
    if isinstance(cell, LSTMCell):
        check_fields("Keras", cell, **gates.PLAIN_LSTM, projection_size=(None,))
    weights = gates.separate(cell, params, GATE_ORDERS[type(cell)])
    bias = weights.bias
    if getattr(cell, "reset_after", False):
        bias = jnp.stack([weights.bias, weights.recurrent_bias])
    arrays = (weights.kernel, weights.recurrent_kernel, bias)
    return dict(zip(_names(use_bias), arrays, strict=False))


def _load_cell(cell: Cell, arrays: convert.LoadedArrays) -> convert.LoadedArrays:
    zeros = jnp.zeros_like(arrays["kernel"][0])
    bias = arrays.get("bias", zeros)
    biases = bias if bias.ndim == 2 else (bias, zeros)
    weights = gates.Weights(arrays["kernel"], arrays["recurrent_kernel"], *biases)
    return gates.join(cell, weights, GATE_ORDERS[type(cell)])
