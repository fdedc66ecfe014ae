"""Weights of flax.linen's own cells."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from rnnjax.cells import (
    BasicRNNCell,
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    GRUCell,
    LSTMCell,
    MGUCell,
)
from rnnjax.interop import gates, structure

# Our gates, by the names of flax's layers: one a gate, or for all that one layer has.
NAMES: dict[type, dict[str, str]] = {
    BasicRNNCell: {"": "c"},
    GRUCell: {"r": "r", "z": "u", "n": "c"},
    LSTMCell: {"i": "i", "g": "j", "f": "f", "o": "o"},
    MGUCell: {"f": "f", "n": "c"},
}
CONVOLUTIONS = (ConvLSTM1DCell, ConvLSTM2DCell, ConvLSTM3DCell)
NAMES |= {cell_type: {"h": "ijfo"} for cell_type in CONVOLUTIONS}


def load(model: nn.Module, params: Mapping[str, Any]) -> Any:
    """Returns a model's params from those of flax's cells.

    The model is a BasicRNNCell for `SimpleCell`, a GRUCell with `reset_after=True` for `GRUCell`,
    an LSTMCell with `forget_bias=0` for `LSTMCell` and `OptimizedLSTMCell`, an MGUCell with
    `reset_after=True` for `MGUCell` with its `reset_gate`, or a ConvLSTM1DCell (2D, 3D) for
    `ConvLSTMCell`, whose two biases become one. Of a `Stack`, a `Bidirectional` or a
    `StackedBidirectional`, the params are those of the same model with flax's cells in it.
    `flax.linen.RNN` keeps a cell's under "cell".

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.interop import linen
    >>> variables = nn.RNN(nn.LSTMCell(4)).init(jax.random.key(0), jnp.ones((1, 5, 3)))
    >>> params = linen.load(LSTMCell(4, forget_bias=0), variables["params"]["cell"])
    >>> params["kernel"].shape, params["bias"].shape
    ((7, 16), (16,))

    Args:
      model: says which cells there are.
      params: of flax's cells.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that flax does
        not have.
    """
    arrays = traverse_util.flatten_dict(params, sep="/")
    return structure.load(model, arrays, _FORM)


def save(model: nn.Module, params: Any) -> Any:
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

    Raises:
      ValueError: for params that are not the model's, and for a model that flax does not have.
    """
    return traverse_util.unflatten_dict(structure.save(model, params, _FORM))


def _save_cell(cell: Any, params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    if isinstance(cell, LSTMCell):
        structure.require("flax", cell, **gates.PLAIN_LSTM, projection_size=(None,))
    elif isinstance(cell, CONVOLUTIONS):
        structure.require("flax", cell, forget_bias=(1,), activation=(jnp.tanh,))
    elif not isinstance(cell, BasicRNNCell):
        structure.require("flax", cell, reset_after=(True,))
    names = NAMES[type(cell)]
    weights = gates.separate(cell, params, "".join(names.values()))
    if isinstance(cell, LSTMCell):
        weights = weights._replace(bias=weights.recurrent_bias, recurrent_bias=weights.bias)
    parts = [jnp.split(array, len(names), axis=-1) for array in weights]
    arrays: dict[str, jax.Array] = {}
    for name, kernel, recurrent_kernel, bias, recurrent_bias in zip(names, *parts, strict=True):
        arrays |= {f"i{name}/kernel": kernel, f"h{name}/kernel": recurrent_kernel}
        biases = {"i": bias, "h": recurrent_bias}
        arrays |= {f"{layer}{name}/bias": biases[layer] for layer in _biased(cell, names[name])}
    return arrays


def _load_cell(cell: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    names = NAMES[type(cell)]
    kernels = [[arrays[f"{layer}{name}/kernel"] for name in names] for layer in "ih"]
    zeros = jnp.zeros_like(kernels[0][0], shape=kernels[0][0].shape[-1:])
    biases = [[arrays.get(f"{layer}{name}/bias", zeros) for name in names] for layer in "ih"]
    weights = gates.Weights(*(jnp.concatenate(parts, axis=-1) for parts in (*kernels, *biases)))
    return gates.join(cell, weights, "".join(names.values()))


def _biased(cell: Any, gate: str) -> str:
    """Returns which of a gate's layers have a bias in flax: of the inputs, the state, or both."""
    if isinstance(cell, LSTMCell):
        return "h"
    if isinstance(cell, CONVOLUTIONS):
        return "ih" if cell.use_bias else ""
    return "ih" if gate == "c" and not isinstance(cell, BasicRNNCell) else "i"


_FORM = structure.Format("flax", NAMES, _save_cell, _load_cell)
