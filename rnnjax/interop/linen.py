"""Weights of flax.linen's own cells."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import gates, structure

# Our gates, by the names of flax's layers.
NAMES = {
    BasicRNNCell: {"": "c"},
    GRUCell: {"r": "r", "z": "u", "n": "c"},
    LSTMCell: {"i": "i", "g": "j", "f": "f", "o": "o"},
}


def load(model: nn.Module, params: Mapping[str, Any]) -> Any:
    """Returns a model's params from those of flax's cells.

    The model is a BasicRNNCell for `SimpleCell`, a GRUCell with `reset_after=True` for `GRUCell`,
    an LSTMCell with `forget_bias=0` for `LSTMCell` and `OptimizedLSTMCell`, or a `Stack`, a
    `Bidirectional` or a `StackedBidirectional` of these; then the params are those of the same
    model with flax's cells in it. `flax.linen.RNN` keeps a cell's under "cell".

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
    elif not isinstance(cell, BasicRNNCell):
        structure.require("flax", cell, reset_after=(True,))
    names = NAMES[type(cell)]
    weights = gates.separate(cell, params, "".join(names.values()))
    split = [jnp.split(array, len(names), axis=-1) for array in weights]
    arrays: dict[str, jax.Array] = {}
    for name, kernel, recurrent_kernel, bias, recurrent_bias in zip(names, *split, strict=True):
        arrays |= {f"i{name}/kernel": kernel, f"h{name}/kernel": recurrent_kernel}
        # flax's LSTM keeps its biases with the recurrent kernels, the others with the inputs'.
        arrays[f"{'h' if isinstance(cell, LSTMCell) else 'i'}{name}/bias"] = bias
        if names[name] == "c" and "recurrent_bias" in params:
            arrays[f"h{name}/bias"] = recurrent_bias
    return arrays


def _load_cell(cell: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    names = NAMES[type(cell)]
    zeros = jnp.zeros_like(next(iter(arrays.values())), shape=cell.features)

    def collect(layer: str, what: str) -> jax.Array:
        return jnp.concatenate(
            [arrays.get(f"{layer}{name}/{what}", zeros) for name in names], axis=-1
        )

    weights = gates.Weights(
        kernel=collect("i", "kernel"),
        recurrent_kernel=collect("h", "kernel"),
        bias=collect("i", "bias"),
        recurrent_bias=collect("h", "bias"),
    )
    return gates.join(cell, weights, "".join(names.values()))


_FORM = structure.Format("flax", NAMES, _save_cell, _load_cell)
