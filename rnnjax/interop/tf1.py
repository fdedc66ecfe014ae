"""Weights from a TensorFlow 1 checkpoint, by the names of its variables.

Gates and shapes are ours. The names are those of TF 1.15's `rnn_cell_impl.py` and `rnn.py`, and of
contrib: https://github.com/tensorflow/tensorflow/tree/r1.15/tensorflow/contrib/rnn
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rnnjax.cells import BasicRNNCell, Cell, GRUCell, LSTMCell
from rnnjax.interop import convert

# What TF1 calls a cell.
CELL_NAMES = {BasicRNNCell: "basic_rnn_cell", GRUCell: "gru_cell", LSTMCell: "lstm_cell"}
# A word in the names of a cell and its variants, be it one of several in a scope ("lstm_cell_1").
CELL_WORDS = {BasicRNNCell: "rnn", GRUCell: "gru", LSTMCell: "lstm"}
# A cell's parameters by the names of TF1's variables.
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
# TF1's scopes for the modules around a cell.
MODULE_SCOPES = {
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


def load(
    model: nn.Module, arrays: Mapping[str, npt.ArrayLike], *, scope: str | None = None
) -> dict[str, Any]:
    """Returns a model's params from the arrays of a checkpoint.

    The model is a cell, a `Stack` for `MultiRNNCell`, a `Bidirectional` of either for
    `bidirectional_dynamic_rnn`, or a `StackedBidirectional` for contrib's
    `stack_bidirectional_dynamic_rnn`. BasicRNNCell, GRUCell and LSTMCell load what TF1's cells of
    these names and of LSTM's variants (basic, block) have stored, before version 1.2 by the names
    `weights` and `biases`; GRUCell with `reset_after=True` is contrib's `CudnnCompatibleGRUCell`.
    The forget bias is no weight: it must be the one that TF1 ran with. Arrays of an optimizer, or
    outside of the scope, are ignored.

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
      arrays: the checkpoint's, by name; of an LSTM cell with H units kernel `[F + P, 4H]`, bias
        `[4H]`, `w_i_diag`, `w_f_diag`, `w_o_diag` `[H]`, `projection/kernel` `[H, P]`.
      scope: where the model's variables are, such as "encoder/rnn"; for a single cell it may end in
        the cell's own name. None: the only scope that has such cells.

    Returns:
      The params in the dtype of the model's parameters.

    Raises:
      ValueError: if no scope or several have the model's cells, for an array in it that is missing,
        surplus or misshapen, and for a cell that TF1 does not have.
    """
    arrays = {_modern(name): array for name, array in arrays.items()}
    scope, prefixes = _find_scope(convert.cells_by_path(model, _TF1), arrays, scope)

    def without_numbers(prefix: str) -> str:
        return re.sub(r"\bcell_\d+/", "cell/", prefix.removeprefix(scope))

    # A checkpoint with more layers than the model has must be an error, not a part of it ignored:
    # so the variables of all cells count whose names differ from the model's only in the number.
    model_prefixes = {without_numbers(prefix) for prefix in prefixes.values()}
    relevant = {
        name: array
        for name, array in arrays.items()
        for variable in ALL_VARIABLES
        if name.startswith(scope)
        and name.endswith(f"/{variable}")
        and without_numbers(name.removesuffix(variable)) in model_prefixes
    }
    return convert.load(model, relevant, _TF1, lambda path: _name(path, prefixes))


def save(
    model: nn.Module, params: convert.Params, *, scope: str | None = None
) -> dict[str, np.ndarray]:
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

    Returns:
      The arrays by name, with the shapes that `load` expects and the dtypes of the params.

    Raises:
      ValueError: for params that are not the model's, and for a cell that TF1 does not have.
    """
    arrays = convert.save(model, params, _TF1)
    cells = convert.cells_by_path(model, _TF1)
    if scope is None:
        outermost = _scope_of_modules(next(iter(cells))).partition("_")[0].partition("/")[0]
        scope = {"fw": "bidirectional_rnn", "cell": "stack_bidirectional_rnn"}.get(outermost, "rnn")
    prefixes = {path: _prefix(path, cell, _with_slash(scope)) for path, cell in cells.items()}
    return {_name(path, prefixes): np.array(array) for path, array in arrays.items()}


def _modern(name: str) -> str:
    """Returns the name that a variable has since TF 1.2, which renamed weights and biases."""
    name = name.removesuffix(":0")
    return re.sub(r"/weights$", "/kernel", re.sub(r"/biases$", "/bias", name))


def _save_cell(cell: Cell, params: convert.SavedArrays) -> convert.SavedArrays:
    arrays: dict[str, jax.Array | np.ndarray] = {
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


def _load_cell(cell: Cell, arrays: convert.LoadedArrays) -> convert.LoadedArrays:
    params: dict[str, jax.Array] = {
        ours: arrays[theirs] for theirs, ours in VARIABLES[type(cell)].items() if theirs in arrays
    }
    if PEEPHOLES[0] in arrays:
        params["peepholes"] = jnp.stack([arrays[name] for name in PEEPHOLES])
    if getattr(cell, "reset_after", False):
        input_layer, hidden_layer = CUDNN_CANDIDATE
        params["candidate_kernel"] = jnp.concatenate(
            [arrays[f"{input_layer}/kernel"], arrays[f"{hidden_layer}/kernel"]]
        )
        params["candidate_bias"] = arrays[f"{input_layer}/bias"]
        params["recurrent_bias"] = arrays[f"{hidden_layer}/bias"]
    return params


def _find_scope(
    cells: Mapping[convert.Path, Cell], names: Iterable[str], scope: str | None
) -> tuple[str, dict[convert.Path, str]]:
    """Returns the scope of a model's cells, and the prefix of each cell's variables."""
    scope_pattern = r"(?:.+/)?" if scope is None else re.escape(_with_slash(scope))
    # The prefixes that fit a cell, by scope and by the cell's path.
    candidates: dict[str, dict[convert.Path, list[str]]] = {}
    for path, cell in cells.items():
        # The static functions of bidirectional networks leave out what the dynamic ones put in.
        modules = _scope_of_modules(path).replace("bidirectional_rnn/", "(?:bidirectional_rnn/)?")
        is_optional = scope is not None and not modules
        cell_name = rf"(?:\w*{CELL_WORDS[type(cell)]}\w*/)" + "?" * is_optional
        variable = next(iter(VARIABLES[type(cell)]))
        pattern = f"(?P<prefix>(?P<scope>{scope_pattern}){modules}{cell_name}){variable}"
        for match in filter(None, map(re.compile(pattern).fullmatch, names)):
            prefixes = candidates.setdefault(match["scope"], {})
            prefixes.setdefault(path, []).append(match["prefix"])
    # If no scope has every cell, one that has a few will do: loading names what is missing.
    complete = [scope for scope, prefixes in candidates.items() if len(prefixes) == len(cells)]
    scopes = complete or list(candidates)
    if len(scopes) != 1 or any(len(options) > 1 for options in candidates[scopes[0]].values()):
        options = {
            prefix for s in scopes for several in candidates[s].values() for prefix in several
        }
        raise ValueError(
            f"the model's cells must be in one scope, candidates are {sorted(options) or 'none'}; "
            f"scope={scope!r}, the names are: {', '.join(names)}"
        )
    (scope,) = scopes
    prefixes = {path: _prefix(path, cell, scope) for path, cell in cells.items()}
    return scope, prefixes | {path: prefix for path, (prefix,) in candidates[scope].items()}


def _prefix(path: convert.Path, cell: Cell, scope: str) -> str:
    """Returns what the names of a cell's variables start with in TF1."""
    cell_name = CELL_NAMES[type(cell)]
    if getattr(cell, "reset_after", False):
        cell_name = f"cudnn_compatible_{cell_name}"
    return f"{scope}{_scope_of_modules(path)}{cell_name}/"


def _name(path: convert.Path, prefixes: Mapping[convert.Path, str]) -> str:
    """Returns TF1's name of a cell's array, by the cell's path and the variable's own name."""
    ((cell, prefix),) = (item for item in prefixes.items() if path[: len(item[0])] == item[0])
    return prefix + "/".join(path[len(cell) :])


def _scope_of_modules(path: convert.Path) -> str:
    """Returns TF1's scope of the modules around a cell; wrappers, as that of dropout, have none."""
    modules = (name.partition("_") for name in path)
    return "".join(MODULE_SCOPES.get(kind, "").format(number) for kind, _, number in modules)


def _with_slash(scope: str) -> str:
    return f"{scope.strip('/')}/" if scope.strip("/") else ""


_TF1 = convert.Framework("TF1", VARIABLES, _save_cell, _load_cell)
