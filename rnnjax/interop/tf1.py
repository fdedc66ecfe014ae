"""Weights from a TensorFlow 1 checkpoint, by the names of its variables."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import structure

# TF1's name of a cell, and its variables: the parameters that they are.
LAYERS = {BasicRNNCell: "basic_rnn_cell", GRUCell: "gru_cell", LSTMCell: "lstm_cell"}
VARIABLES = {
    BasicRNNCell: {"kernel": "kernel", "bias": "bias"},
    GRUCell: {
        "gates/kernel": "gates_kernel",
        "gates/bias": "gates_bias",
        "candidate/kernel": "candidate_kernel",
        "candidate/bias": "candidate_bias",
    },
    LSTMCell: {"kernel": "kernel", "bias": "bias", "projection/kernel": "projection"},
}
PEEPHOLES = ("w_i_diag", "w_f_diag", "w_o_diag")
# In contrib's CudnnCompatibleGRUCell inputs and state have layers of their own, as have flax's.
CUDNN_CANDIDATE = ("candidate/input_projection", "candidate/hidden_projection")
# What the name of a cell has in it, be it a variant's, or one of several in a scope.
WORDS = {BasicRNNCell: "rnn", GRUCell: "gru", LSTMCell: "lstm"}
MODULES = {
    "cells": "multi_rnn_cell/cell_{}/",
    "layers": "cell_{}/bidirectional_rnn/",
    "forward": "fw/",
    "backward": "bw/",
}
ALL_VARIABLES = {
    *(name for names in VARIABLES.values() for name in names),
    *PEEPHOLES,
    *(f"{layer}/{name}" for layer in CUDNN_CANDIDATE for name in ("kernel", "bias")),
}


def load(model: nn.Module, arrays: Mapping[str, Any], *, scope: str | None = None) -> Any:
    """Returns a model's params from the arrays of a checkpoint.

    The model is a cell, a `Stack` for `MultiRNNCell`, a `Bidirectional` of either for
    `bidirectional_dynamic_rnn`, or a `StackedBidirectional` for contrib's
    `stack_bidirectional_dynamic_rnn`. BasicRNNCell, GRUCell and LSTMCell take what TF1's cells of
    these names and of LSTM's variants (basic, block) have stored since version 1.2; GRUCell with
    `reset_after=True` is contrib's `CudnnCompatibleGRUCell`. The forget bias is no weight: it must
    be the one that TF1 ran with. What is stored elsewhere, or by an optimizer, is not looked at.

    >>> import numpy as np
    >>> from rnnjax.cells import LSTMCell
    >>> from rnnjax.interop import tf1
    >>> arrays = {  # reader = tf.train.load_checkpoint(path)
    ...     "global_step": np.array(7),  # {n: reader.get_tensor(n) for n in ...
    ...     "rnn/basic_lstm_cell/kernel": np.ones((7, 16)),  # reader.get_variable_to_shape_map()}
    ...     "rnn/basic_lstm_cell/kernel/Adam": np.zeros((7, 16)),
    ...     "rnn/basic_lstm_cell/bias": np.zeros(16),
    ... }
    >>> {name: array.shape for name, array in tf1.load(LSTMCell(4), arrays).items()}
    {'kernel': (7, 16), 'bias': (16,)}

    Args:
      model: says which layers there are, and of which cell.
      arrays: the checkpoint's, by name.
      scope: where the model's variables are, such as "encoder/rnn"; for a single cell it may end in
        the cell's own name. None: the only scope that has such cells.

    Raises:
      ValueError: if no scope or several have the model's cells, for an array in it that is missing,
        surplus or misshapen, and for a cell that TF1 does not have.
    """
    arrays = {name.removesuffix(":0"): array for name, array in arrays.items()}
    scope, places = _find(structure.cells(model, _FORM), arrays, scope)

    # Of cells and variables in the same place, the model must have them all.
    def family(prefix: str) -> str:
        return re.sub(r"\bcell_\d+/", "cell/", prefix.removeprefix(scope))

    families = {family(place) for place in places.values()}
    relevant = {
        name: array
        for name, array in arrays.items()
        for variable in ALL_VARIABLES
        if name.startswith(scope)
        and name.endswith(f"/{variable}")
        and family(name.removesuffix(variable)) in families
    }
    return structure.load(model, relevant, _FORM, lambda path: _name(path, places))


def save(model: nn.Module, params: Any, *, scope: str | None = None) -> dict[str, np.ndarray]:
    """Returns a model's params by the names of TF1's variables; `load`'s inverse.

    >>> import jax
    >>> from rnnjax.cells import BasicRNNCell
    >>> from rnnjax.interop import tf1
    >>> cell = BasicRNNCell(4)
    >>> carry = cell.initialize_carry(jax.random.key(0), (1, 3))
    >>> params = cell.init(jax.random.key(0), carry, jax.numpy.ones((1, 3)))["params"]
    >>> {name: array.shape for name, array in tf1.save(cell, params).items()}
    {'rnn/basic_rnn_cell/kernel': (7, 4), 'rnn/basic_rnn_cell/bias': (4,)}

    Args:
      model: as for `load`.
      params: the model's.
      scope: put before each name; None: TF1's own, `rnn`, `bidirectional_rnn` or
        `stack_bidirectional_rnn`. An LSTMCell is called `lstm_cell`.

    Raises:
      ValueError: for params that are not the model's, and for a cell that TF1 does not have.
    """
    arrays = structure.save(model, params, _FORM)
    cells = structure.cells(model, _FORM)
    if scope is None:
        first = _position(next(iter(cells))).partition("_")[0].partition("/")[0]
        scope = {"fw": "bidirectional_rnn", "cell": "stack_bidirectional_rnn"}.get(first, "rnn")
    places = {path: _place(path, cell, _closed(scope)) for path, cell in cells.items()}
    return {_name(path, places): np.array(array) for path, array in arrays.items()}


def _save_cell(cell: Any, params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    arrays = {
        theirs: params[ours] for theirs, ours in VARIABLES[type(cell)].items() if ours in params
    }
    if "peepholes" in params:
        arrays |= dict(zip(PEEPHOLES, params["peepholes"], strict=True))
    if "recurrent_bias" in params:
        kernel = arrays.pop("candidate/kernel")
        kernels = kernel[: -cell.features], kernel[-cell.features :]
        biases = arrays.pop("candidate/bias"), params["recurrent_bias"]
        for layer, kernel, bias in zip(CUDNN_CANDIDATE, kernels, biases, strict=True):
            arrays |= {f"{layer}/kernel": kernel, f"{layer}/bias": bias}
    return arrays


def _load_cell(cell: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    params = {
        ours: arrays[theirs] for theirs, ours in VARIABLES[type(cell)].items() if theirs in arrays
    }
    if PEEPHOLES[0] in arrays:
        params["peepholes"] = jnp.stack([arrays[name] for name in PEEPHOLES])
    if getattr(cell, "reset_after", False):
        of_inputs, of_hidden = CUDNN_CANDIDATE
        params["candidate_kernel"] = jnp.concatenate(
            [arrays[f"{of_inputs}/kernel"], arrays[f"{of_hidden}/kernel"]]
        )
        params["candidate_bias"] = arrays[f"{of_inputs}/bias"]
        params["recurrent_bias"] = arrays[f"{of_hidden}/bias"]
    return params


def _find(
    cells: Mapping[structure.Path, Any], names: Iterable[str], scope: str | None
) -> tuple[str, dict[structure.Path, str]]:
    """Returns the scope of a model's cells, and what each cell's variables' names start with."""
    within = r"(?:.+/)?" if scope is None else re.escape(_closed(scope))
    found: dict[str, dict[structure.Path, list[str]]] = {}
    for path, cell in cells.items():
        # The static functions of bidirectional networks leave out what the dynamic ones put in.
        position = _position(path).replace("bidirectional_rnn/", "(?:bidirectional_rnn/)?")
        layer = rf"(?:\w*{WORDS[type(cell)]}\w*/)" + ("" if position or scope is None else "?")
        first = next(iter(VARIABLES[type(cell)]))
        pattern = re.compile(f"(?P<place>(?P<scope>{within}){position}{layer}){first}")
        for match in filter(None, map(pattern.fullmatch, names)):
            places = found.setdefault(match["scope"], {})
            places.setdefault(path, []).append(match["place"])
    # A scope that has every cell, or else the one that has some: what is missing will be named.
    scopes = [scope for scope, places in found.items() if len(places) == len(cells)] or [*found]
    if len(scopes) != 1 or any(len(options) > 1 for options in found[scopes[0]].values()):
        options = {place for s in scopes for options in found[s].values() for place in options}
        raise ValueError(
            f"the model's cells must be in one scope, found are {sorted(options) or 'none'}; "
            f"scope={scope!r}, the names are: {', '.join(names)}"
        )
    (scope,) = scopes
    places = {path: _place(path, cell, scope) for path, cell in cells.items()}
    return scope, places | {path: place for path, (place,) in found[scope].items()}


def _place(path: structure.Path, cell: Any, scope: str) -> str:
    """Returns what the names of a cell's variables start with in TF1."""
    layer = "cudnn_compatible_" * getattr(cell, "reset_after", False) + LAYERS[type(cell)]
    return f"{scope}{_position(path)}{layer}/"


def _name(path: structure.Path, places: Mapping[structure.Path, str]) -> str:
    """Returns TF1's name of a cell's array, by the cell's path and the variable's own name."""
    ((cell, place),) = (item for item in places.items() if path[: len(item[0])] == item[0])
    return place + "/".join(path[len(cell) :])


def _position(path: structure.Path) -> str:
    """Returns the names of TF1's modules around a cell; wrappers, as that of dropout, have none."""
    modules = (name.partition("_") for name in path)
    return "".join(MODULES.get(kind, "").format(number) for kind, _, number in modules)


def _closed(scope: str) -> str:
    return f"{scope.strip('/')}/" if scope.strip("/") else ""


_FORM = structure.Format("TF1", VARIABLES, _save_cell, _load_cell)
