"""Weights of torch's `nn.RNN`, `nn.GRU` and `nn.LSTM`, and of the cells that torch has of them.

torch stacks the gates on the first axis of its weights, in the order of `GATE_ORDERS`. Names and
shapes are those in its documentation: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rnnjax.cells import BasicRNNCell, Cell, GRUCell, LSTMCell
from rnnjax.interop import convert, gates
from rnnjax.interop.checks import check_biases_are_zero, check_fields

# In torch's words: reset, update, new; and input, forget, cell, output.
GATE_ORDERS = {BasicRNNCell: "c", GRUCell: "ruc", LSTMCell: "ifjo"}
# Of the arrays of `nn.RNNCell`, `nn.GRUCell` and `nn.LSTMCell`.
CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
# The paths of cells, in the models that torch has, too: layer and direction.
CELL_PATH = re.compile(r"(?:(?:cells|layers)_(\d+)/?)?(forward|backward)?")


def load(
    model: nn.Module, state: Mapping[str, npt.ArrayLike], *, prefix: str = ""
) -> dict[str, Any]:
    """Returns a model's params from a torch module's state dict.

    The model is a cell, a `Stack` for several layers, a `Bidirectional`, or for several layers in
    both directions a `StackedBidirectional`: of BasicRNNCell for `nn.RNN` (its activation is not in
    the state dict), of GRUCell with `reset_after=True`, or of LSTMCell with `forget_bias=0`, there
    with `projection_size` for `proj_size`. A cell takes the arrays of `nn.RNNCell`, `nn.GRUCell` or
    `nn.LSTMCell` as well, which have no `_l0`. torch's two biases become one where they add up;
    without any (`bias=False`), ours are zero.

    >>> import numpy as np
    >>> from rnnjax.cells import GRUCell
    >>> from rnnjax.interop import torch
    >>> state = {  # or torch.nn.GRU(3, 4).state_dict()
    ...     "weight_ih_l0": np.ones((12, 3)),
    ...     "weight_hh_l0": np.ones((12, 4)),
    ...     "bias_ih_l0": np.ones(12),
    ...     "bias_hh_l0": np.ones(12),
    ... }
    >>> params = torch.load(GRUCell(4, reset_after=True), state)
    >>> params["gates_kernel"].shape, params["gates_bias"][0].item(), params["recurrent_bias"].shape
    ((7, 8), 2.0, (4,))

    Args:
      model: says which layers there are, and of which cell.
      state: arrays by torch's names, CPU tensors included: for each layer with G gates
        `weight_ih_l0` `[G H, F]`, `weight_hh_l0` `[G H, P]`, `bias_ih_l0` and `bias_hh_l0` `[G H]`,
        `weight_hr_l0` `[P, H]`, of any float dtype.
      prefix: of the names, such as "encoder.rnn."; arrays of other names are ignored.

    Returns:
      The params in the dtype of the model's parameters.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that torch
        does not have.
    """
    arrays = {n.removeprefix(prefix): state[n] for n in state if n.startswith(prefix)}
    if not any(name.startswith("weight_ih") for name in arrays):
        there = sorted({name.rpartition("weight_ih")[0] for name in state if "weight_ih" in name})
        raise ValueError(
            f"no weights of a recurrent module have names that begin with {prefix!r}; there are "
            f"such with {', '.join(map(repr, there)) or 'none'}"
        )
    if isinstance(model, Cell):  # torch's cells have no number of a layer
        arrays = {n + "_l0" if n in CELL_NAMES else n: array for n, array in arrays.items()}
    framework = _torch(bias=any(name.startswith("bias") for name in arrays))
    _check_layers(model, framework)
    return convert.load(model, arrays, framework, _name)


def save(
    model: nn.Module, params: convert.Params, *, prefix: str = "", bias: bool = True
) -> dict[str, np.ndarray]:
    """Returns a model's params as the state dict of a torch module, as NumPy arrays.

    The inverse of `load`, except that where torch adds up two biases, `bias_hh` is zero.

    >>> import jax
    >>> from rnnjax.cells import BasicRNNCell
    >>> from rnnjax.interop import torch
    >>> cell = BasicRNNCell(4)
    >>> carry = cell.initialize_carry(jax.random.key(0), (1, 3))
    >>> params = cell.init(jax.random.key(0), carry, jax.numpy.ones((1, 3)))["params"]
    >>> {name: array.shape for name, array in torch.save(cell, params).items()}
    {'weight_ih_l0': (4, 3), 'weight_hh_l0': (4, 4), 'bias_ih_l0': (4,), 'bias_hh_l0': (4,)}

    Args:
      model: as for `load`.
      params: the model's.
      prefix: put before each name.
      bias: whether the torch module has biases; without them the model's must be zero.

    Returns:
      The arrays by torch's names, with the shapes that `load` expects and the dtypes of the params.

    Raises:
      ValueError: for params that are not the model's, and for a model that torch does not have.
    """
    framework = _torch(bias=bias)
    _check_layers(model, framework)
    if not bias:
        check_biases_are_zero(params)
    arrays = convert.save(model, params, framework)
    return {prefix + _name(path): np.array(array) for path, array in arrays.items()}


def _torch(*, bias: bool) -> convert.Framework:
    save_cell = functools.partial(_save_cell, bias=bias)
    return convert.Framework("torch", GATE_ORDERS, save_cell, _load_cell)


def _save_cell(cell: Cell, params: convert.SavedArrays, *, bias: bool) -> convert.SavedArrays:
    weights = gates.separate(cell, params, GATE_ORDERS[type(cell)])
    arrays = {"weight_ih": weights.kernel.T, "weight_hh": weights.recurrent_kernel.T}
    if bias:
        arrays |= {"bias_ih": weights.bias, "bias_hh": weights.recurrent_bias}
    if "projection" in params:
        arrays["weight_hr"] = jnp.asarray(params["projection"]).T
    return arrays


def _load_cell(cell: Cell, arrays: convert.LoadedArrays) -> convert.LoadedArrays:
    zeros = jnp.zeros_like(arrays["weight_ih"][:, 0])
    weights = gates.Weights(
        kernel=arrays["weight_ih"].T,
        recurrent_kernel=arrays["weight_hh"].T,
        bias=arrays.get("bias_ih", zeros),
        recurrent_bias=arrays.get("bias_hh", zeros),
    )
    params = gates.join(cell, weights, GATE_ORDERS[type(cell)])
    if "weight_hr" in arrays:
        params["projection"] = arrays["weight_hr"].T
    return params


def _name(path: convert.Path) -> str:
    """Returns torch's name, such as `weight_ih_l1_reverse`, of a cell's array."""
    # Wrappers, such as that of dropout, have no name in torch.
    cell_path = "/".join(name for name in path[:-1] if name != "inner")
    match = CELL_PATH.fullmatch(cell_path)
    if match is None:
        raise ValueError(
            f"torch has no layer at {cell_path}: a model must be a cell, a Stack of cells, a "
            "Bidirectional or a StackedBidirectional of cells"
        )
    layer, direction = match.groups()
    return f"{path[-1]}_l{layer or 0}{'_reverse' if direction == 'backward' else ''}"


def _check_layers(model: nn.Module, framework: convert.Framework) -> None:
    """Raises a ValueError if torch has no such cell, or no module of such different layers."""
    first, *others = convert.cells_by_path(model, framework).values()
    for cell in (first, *others):
        activations = (jnp.tanh, nn.relu) if isinstance(cell, BasicRNNCell) else (jnp.tanh,)
        check_fields("torch", cell, activation=activations)
        if isinstance(cell, GRUCell):
            check_fields("torch", cell, reset_after=(True,))
        if isinstance(cell, LSTMCell):
            check_fields("torch", cell, **gates.PLAIN_LSTM)
    for cell in others:
        if type(cell) is not type(first):
            raise ValueError(
                f"the layers of a torch module are alike, got {type(first).__name__} and "
                f"{type(cell).__name__}"
            )
        for field in ("features", "activation", "projection_size"):
            if hasattr(first, field):
                same = {field: (getattr(first, field),)}
                check_fields("torch, as in the first layer", cell, **same)
