"""Weights of flax.linen's own cells.

flax has two layers for each gate, of the inputs and of the state, such as "ir" and "hr". The names
are those in its source: https://github.com/google/flax/blob/main/flax/linen/recurrent.py
"""

from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
import numpy.typing as npt
from flax import traverse_util
from jaxtyping import Array

from rnnjax.cells import (
    BasicRNNCell,
    Cell,
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    GRUCell,
    LSTMCell,
    MGUCell,
)
from rnnjax.interop import convert, gates
from rnnjax.interop.checks import check_fields

# Our gates in each of flax's layers, by the layers' names without the "i" or "h".
GATE_ORDERS: dict[type, dict[str, str]] = {
    BasicRNNCell: {"": "c"},
    GRUCell: {"r": "r", "z": "u", "n": "c"},
    LSTMCell: {"i": "i", "g": "j", "f": "f", "o": "o"},
    MGUCell: {"f": "f", "n": "c"},
}
CONVOLUTIONS = (ConvLSTM1DCell, ConvLSTM2DCell, ConvLSTM3DCell)
GATE_ORDERS |= {cell_type: {"h": "ijfo"} for cell_type in CONVOLUTIONS}


def load(model: nn.Module, params: convert.Params) -> dict[str, Any]:
    """Returns a model's params from those of flax's cells.

    The model is a BasicRNNCell for `SimpleCell`, a GRUCell with `reset_after=True` for `GRUCell`,
    an LSTMCell with `forget_bias=0` for `LSTMCell` and `OptimizedLSTMCell`, an MGUCell with
    `reset_after=True` for `MGUCell` with its `reset_gate`, or a ConvLSTM1DCell (2D, 3D) for
    `ConvLSTMCell`, whose two biases become one. Of a `Stack`, a `Bidirectional` or a
    `StackedBidirectional`, the params are those of the same model with flax's cells in it.
    `flax.linen.RNN` has a cell's under "cell".

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.interop import linen
    >>> variables = nn.RNN(nn.LSTMCell(4)).init(jax.random.key(0), jnp.ones((1, 5, 3)))
    >>> params = linen.load(LSTMCell(4, forget_bias=0), variables["params"]["cell"])
    >>> params["kernel"].shape, params["bias"].shape
    ((7, 16), (16,))

    Args:
      model: says which cells there are.
      params: of flax's cells: for each layer a kernel `[F, H]` (`[H, H]` of the state; convolutions
        `[*taps, F, 4 H]`) and, where flax has one, a bias `[H]`.

    Returns:
      The params in the dtype of the model's parameters.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that flax does
        not have.
    """
    arrays = cast(Mapping[str, npt.ArrayLike], traverse_util.flatten_dict(params, sep="/"))
    return convert.load(model, arrays, _FLAX)


def save(model: nn.Module, params: convert.Params) -> dict[str, Any]:
    """Returns a model's params as those of flax's cells; `load`'s inverse.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import BasicRNNCell
    >>> from rnnjax.interop import linen
    >>> cell, x = BasicRNNCell(4), jnp.ones((1, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> variables = cell.init(jax.random.key(0), carry, x)
    >>> params = linen.save(cell, variables["params"])
    >>> _, output = nn.SimpleCell(4).apply({"params": params}, carry.hidden, x)
    >>> jnp.allclose(output, cell.apply(variables, carry, x)[1], atol=1e-6).item()
    True

    Args:
      model: as for `load`.
      params: the model's.

    Returns:
      The params of flax's cells, with the shapes that `load` expects and the dtypes of the params.

    Raises:
      ValueError: for params that are not the model's, and for a model that flax does not have.
    """
    return traverse_util.unflatten_dict(convert.save(model, params, _FLAX))


def _save_cell(cell: Cell, params: convert.SavedArrays) -> convert.SavedArrays:
    if isinstance(cell, LSTMCell):
        check_fields("flax", cell, **gates.PLAIN_LSTM, projection_size=(None,))
    elif isinstance(cell, CONVOLUTIONS):
        check_fields("flax", cell, forget_bias=(1,), activation=(jnp.tanh,))
    elif not isinstance(cell, BasicRNNCell):
        check_fields("flax", cell, reset_after=(True,))
    layers = GATE_ORDERS[type(cell)]
    weights = gates.separate(cell, params, "".join(layers.values()))
    if isinstance(cell, LSTMCell):
        weights = weights._replace(bias=weights.recurrent_bias, recurrent_bias=weights.bias)
    by_layer = [jnp.split(array, len(layers), axis=-1) for array in weights]
    arrays: dict[str, Array] = {}
    for layer, kernel, recurrent_kernel, bias, recurrent_bias in zip(
        layers, *by_layer, strict=True
    ):
        arrays |= {f"i{layer}/kernel": kernel, f"h{layer}/kernel": recurrent_kernel}
        biases = {"i": bias, "h": recurrent_bias}
        arrays |= {f"{side}{layer}/bias": biases[side] for side in _biased(cell, layers[layer])}
    return arrays


def _load_cell(cell: Cell, arrays: convert.LoadedArrays) -> convert.LoadedArrays:
    layers = GATE_ORDERS[type(cell)]
    kernels = [[arrays[f"{side}{layer}/kernel"] for layer in layers] for side in "ih"]
    zeros = jnp.zeros_like(kernels[0][0], shape=kernels[0][0].shape[-1:])
    biases = [[arrays.get(f"{side}{layer}/bias", zeros) for layer in layers] for side in "ih"]
    weights = gates.Weights(
        *(jnp.concatenate(by_layer, axis=-1) for by_layer in (*kernels, *biases))
    )
    return gates.join(cell, weights, "".join(layers.values()))


def _biased(cell: Cell, gate: str) -> str:
    """Returns which of a gate's layers have a bias in flax: "i" of the inputs, "h" of the state."""
    if isinstance(cell, LSTMCell):
        return "h"
    if isinstance(cell, CONVOLUTIONS):
        return "ih" if cell.use_bias else ""
    return "ih" if gate == "c" and not isinstance(cell, BasicRNNCell) else "i"


_FLAX = convert.Framework("flax", GATE_ORDERS, _save_cell, _load_cell)
