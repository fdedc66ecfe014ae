"""Weights of Keras 3's `SimpleRNN`, `GRU`, `LSTM` and `Bidirectional`."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import gates, structure

ORDERS = {BasicRNNCell: "c", GRUCell: "urc", LSTMCell: "ifjo"}


def load(model: nn.Module, weights: Sequence[Any]) -> Any:
    """Returns a model's params from a Keras layer's `get_weights()`.

    The model is a BasicRNNCell for `SimpleRNN`, a GRUCell for `GRU` (`reset_after=True` is Keras'
    default), an LSTMCell with `forget_bias=0` for `LSTM`, a `Bidirectional` of these, or a `Stack`
    or a `StackedBidirectional` for several layers, their weights one after the other. Without
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
      weights: kernel, recurrent kernel and bias of each layer, forward before backward.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that Keras
        does not have.
    """
    paths = structure.cells(model, _form(True))
    bias = len(weights) != 2 * len(paths)
    names = ["/".join((*path, name)) for path in paths for name in _names(bias)]
    names += [f"weights[{n}]" for n in range(len(names), len(weights))]
    arrays = dict(zip(names, weights, strict=False))
    return structure.load(model, arrays, _form(bias))


def save(model: nn.Module, params: Any, *, use_bias: bool = True) -> list[np.ndarray]:
    """Returns a model's params as what `set_weights` of a Keras layer takes; `load`'s inverse.

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

    Raises:
      ValueError: for params that are not the model's, and for a model that Keras does not have.
    """
    if not use_bias:
        structure.require_zero_biases(params)
    arrays = structure.save(model, params, _form(use_bias))
    return [np.array(array) for array in arrays.values()]


def _form(bias: bool) -> structure.Format:
    return structure.Format("Keras", ORDERS, functools.partial(_save_cell, bias=bias), _load_cell)


def _names(bias: bool) -> tuple[str, ...]:
    return ("kernel", "recurrent_kernel", "bias") if bias else ("kernel", "recurrent_kernel")


def _save_cell(cell: Any, params: dict[str, jax.Array], *, bias: bool) -> dict[str, jax.Array]:
    if isinstance(cell, LSTMCell):
        structure.require("Keras", cell, **gates.PLAIN_LSTM, projection_size=(None,))
    weights = gates.separate(cell, params, ORDERS[type(cell)])
    arrays = (weights.kernel, weights.recurrent_kernel, weights.bias)
    if getattr(cell, "reset_after", False):
        arrays = (*arrays[:2], jnp.stack([weights.bias, weights.recurrent_bias]))
    return dict(zip(_names(bias), arrays, strict=False))


def _load_cell(cell: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    zeros = jnp.zeros_like(arrays["kernel"][0])
    bias = arrays.get("bias", zeros)
    both = bias if bias.ndim == 2 else (bias, zeros)
    weights = gates.Weights(arrays["kernel"], arrays["recurrent_kernel"], *both)
    return gates.join(cell, weights, ORDERS[type(cell)])
