"""Weights of torch's `nn.RNN`, `nn.GRU` and `nn.LSTM`."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import gates, structure

ORDERS = {BasicRNNCell: "c", GRUCell: "ruc", LSTMCell: "ifjo"}
PLACE = re.compile(r"(?:(?:cells|layers)_(\d+)/?)?(forward|backward)?")


def load(model: nn.Module, state: Mapping[str, Any], *, prefix: str = "") -> Any:
    """Returns a model's params from a torch module's state dict.

    The model is a cell, a `Stack` for several layers, a `Bidirectional`, or for several layers in
    both directions a `StackedBidirectional`: of BasicRNNCell for `nn.RNN` (its activation is not in
    the state dict), of GRUCell with `reset_after=True`, or of LSTMCell with `forget_bias=0`, there
    with `projection_size` for `proj_size`. torch's two biases become one where they add up; without
    any (`bias=False`), ours are zero.

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
      state: arrays by torch's names: CPU tensors, or anything else that NumPy takes.
      prefix: of the names, such as "encoder.rnn."; other names are not looked at.

    Raises:
      ValueError: for an array that is missing, surplus or misshapen, and for a model that torch
        does not have.
    """
    arrays = {n.removeprefix(prefix): state[n] for n in state if n.startswith(prefix)}
    bias = any(name.startswith("bias") for name in arrays)
    form = _form(bias)
    _check_layers(model, form)
    return structure.load(model, arrays, form, _name)


def save(
    model: nn.Module, params: Any, *, prefix: str = "", bias: bool = True
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

    Raises:
      ValueError: for params that are not the model's, and for a model that torch does not have.
    """
    form = _form(bias)
    _check_layers(model, form)
    if not bias:
        structure.require_zero_biases(params)
    arrays = structure.save(model, params, form)
    return {prefix + _name(path): np.array(array) for path, array in arrays.items()}


def _form(bias: bool) -> structure.Format:
    return structure.Format("torch", ORDERS, functools.partial(_save_cell, bias=bias), _load_cell)


def _save_cell(cell: Any, params: dict[str, jax.Array], *, bias: bool) -> dict[str, jax.Array]:
    weights = gates.separate(cell, params, ORDERS[type(cell)])
    arrays = {"weight_ih": weights.kernel.T, "weight_hh": weights.recurrent_kernel.T}
    if bias:
        arrays |= {"bias_ih": weights.bias, "bias_hh": weights.recurrent_bias}
    if "projection" in params:
        arrays["weight_hr"] = params["projection"].T
    return arrays


def _load_cell(cell: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    zeros = jnp.zeros_like(arrays["weight_ih"][:, 0])
    weights = gates.Weights(
        kernel=arrays["weight_ih"].T,
        recurrent_kernel=arrays["weight_hh"].T,
        bias=arrays.get("bias_ih", zeros),
        recurrent_bias=arrays.get("bias_hh", zeros),
    )
    params = gates.join(cell, weights, ORDERS[type(cell)])
    if "weight_hr" in arrays:
        params["projection"] = arrays["weight_hr"].T
    return params


def _name(path: structure.Path) -> str:
    """Returns torch's name, such as `weight_ih_l1_reverse`, of a cell's array."""
    # Wrappers, such as that of dropout, have no name in torch.
    place = "/".join(name for name in path[:-1] if name != "inner")
    match = PLACE.fullmatch(place)
    if match is None:
        raise ValueError(
            f"torch has no layer at {place}: a model must be a cell, a Stack of cells, a "
            "Bidirectional or a StackedBidirectional of cells"
        )
    layer, direction = match.groups()
    return f"{path[-1]}_l{layer or 0}{'_reverse' if direction == 'backward' else ''}"


def _check_layers(model: nn.Module, form: structure.Format) -> None:
    """Raises a ValueError if torch has no such cell, or no module of such different layers."""
    first, *others = structure.cells(model, form).values()
    for cell in (first, *others):
        activations = (jnp.tanh, nn.relu) if isinstance(cell, BasicRNNCell) else (jnp.tanh,)
        structure.require("torch", cell, activation=activations)
        if isinstance(cell, GRUCell):
            structure.require("torch", cell, reset_after=(True,))
        if isinstance(cell, LSTMCell):
            structure.require("torch", cell, **gates.PLAIN_LSTM)
    for cell in others:
        if type(cell) is not type(first):
            raise ValueError(
                f"the layers of a torch module are alike, got {type(first).__name__} and "
                f"{type(cell).__name__}"
            )
        for field in ("features", "activation", "projection_size"):
            if hasattr(first, field):
                same = {field: (getattr(first, field),)}
                structure.require("torch, as in the first layer", cell, **same)
