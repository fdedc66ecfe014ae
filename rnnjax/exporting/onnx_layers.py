"""Models of ONNX's own cells: its RNN, GRU and LSTM nodes, each a layer over all of time.

https://onnx.ai/onnx/operators/onnx__LSTM.html has their equations. They stack the gates on one
axis, in the order of `NODES`, under the letters of `rnnjax.interop.gates`.
"""

import typing
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from rnnjax.cell_source import cell_class
from rnnjax.cells import BasicRNNCell, Cell, GRUCell, LSTMCell
from rnnjax.classifier import Classifier, Params
from rnnjax.exporting.onnx_graph import Graph
from rnnjax.exporting.onnx_jaxpr import translate_function
from rnnjax.interop import gates
from rnnjax.pooling import Pooling

NODES = {BasicRNNCell: ("RNN", "c"), GRUCell: ("GRU", "urc"), LSTMCell: ("LSTM", "iofj")}


def has_own_nodes(model: Classifier) -> bool:
    """Whether ONNX has the model's cell, with its options."""
    cell = _cell_of(model)
    if type(cell) not in NODES or cell.activation is not jnp.tanh:
        return False
    # ONNX's own clip is of what goes into the gates, not of the memory.
    return not isinstance(cell, LSTMCell) or (cell.cell_clip, cell.projection_size) == (None, None)


def add_layers(
    graph: Graph, model: Classifier, params: Params, sequences: str, lengths: str
) -> str:
    """Adds a model for which `has_own_nodes` holds, up to its logits, whose name is returned.

    Args:
      graph: in which the sizes `b` and `t` have been measured.
      model: the classifier.
      params: its parameters.
      sequences: the name of the inputs `[B, T, F]`.
      lengths: the name of the lengths `[B]`, int32, whatever their values.
    """
    cell, directions = _cell_of(model), ("", "_back") if model.bidirectional else ("",)
    zero, one = graph.array(0, np.int32), graph.array(1, np.int32)
    width = len(directions) * model.hidden_size
    counted = graph.add("Min", lengths, graph.scalar_size("t", np.int32))
    x = _without_padding(graph, sequences, counted)
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    # The runtime refuses sequences of no step; whatever it makes of their first is put out below.
    counted = graph.add("Max", counted, one)
    last = ""
    for n in range(model.num_layers):
        own = [params[f"layer_{n}{direction}"] for direction in directions]
        x, last = _add_layer(graph, cell, f"layer_{n}", own, x, counted)
        x = graph.add("Transpose", x, perm=[0, 2, 1, 3])  # from [T, D, B, H]
        x = graph.add("Reshape", x, graph.shape(("t", "b", width)), allowzero=1)
    if model.readout == "last":
        last = graph.add("Transpose", last, perm=[1, 0, 2])  # from [D, B, H]
        last = graph.add("Reshape", last, graph.shape(("b", width)), allowzero=1)
        taken = graph.add("Unsqueeze", graph.add("Greater", lengths, zero), graph.ints(1))
        seen = graph.add("Where", taken, last, graph.array(0, np.float32))
    else:
        seen = _pool(graph, Pooling(model.readout), params, x, lengths, width)
    kernel, bias = (
        graph.array(params["readout"][name], name=f"readout/{name}") for name in ("kernel", "bias")
    )
    return graph.add("Add", graph.add("MatMul", seen, kernel), bias)


def _cell_of(model: Classifier) -> Any:
    return cell_class(model.cell)(model.hidden_size, parent=None, **model.cell_options)


def _without_padding(graph: Graph, sequences: str, lengths: str) -> str:
    """Clears the steps that do not count, which may hold anything."""
    steps = graph.add(
        "Range",
        graph.array(0, np.int32),
        graph.scalar_size("t", np.int32),
        graph.array(1, np.int32),
    )
    counts = graph.add("Less", steps, graph.add("Unsqueeze", lengths, graph.ints(1)))  # [B, T]
    counts = graph.add("Unsqueeze", counts, graph.ints(2))
    return graph.add("Where", counts, sequences, graph.array(0, np.float32))


def _pool(
    graph: Graph, pooling: Pooling, params: Params, outputs: str, lengths: str, width: int
) -> str:
    """Adds what is made of the outputs of all steps, `[T, B, H]`; returns the name of `[B, H]`."""
    batch, steps = export.symbolic_shape("b, t")

    def pool(params: Params, outputs: jax.Array, lengths: jax.Array) -> jax.Array:
        batch_major = jnp.swapaxes(outputs, 0, 1)
        pooled = pooling.apply({"params": params["pooling"]}, batch_major, lengths)
        return typing.cast(jax.Array, pooled)

    structs = [
        jax.ShapeDtypeStruct((steps, batch, width), jnp.float32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
    ]
    own = {"pooling": params.get("pooling", {})}  # none but of attention
    return translate_function(graph, pool, own, structs, [outputs, lengths])[0]


def _add_layer(
    graph: Graph, cell: Cell, name: str, params: Sequence[Params], x: str, lengths: str
) -> Sequence[str]:
    """Adds a layer over inputs `[T, B, F]`.

    Args:
      graph: that it is added to.
      cell: of the layer.
      name: of the layer.
      params: those of each of its D directions.
      x: the name of the inputs.
      lengths: the name of the lengths, at least 1.

    Returns:
      The names of all outputs, `[T, D, B, H]`, and of the last ones, `[D, B, H]`.
    """
    op, order = NODES[type(cell)]
    weights = [gates.separate(cell, of_one, order) for of_one in params]
    biases = np.stack([np.concatenate([each.bias, each.recurrent_bias]) for each in weights])
    attributes: dict[str, Any] = {"hidden_size": cell.features}
    if len(params) == 2:
        attributes["direction"] = "bidirectional"
    if isinstance(cell, GRUCell):
        attributes["linear_before_reset"] = int(cell.reset_after)
    peepholes: tuple[str, ...] = ()
    if isinstance(cell, LSTMCell):
        forget = order.index("f") * cell.features
        biases[:, forget : forget + cell.features] += cell.forget_bias
        if cell.use_peepholes:  # here of i, f and o, there of i, o and f
            rows = np.stack([np.asarray(of_one["peepholes"])[[0, 2, 1]] for of_one in params])
            flat = rows.reshape(len(rows), -1)
            peepholes = ("", "", graph.array(flat, name=f"{name}/P"))  # after the initial carry
    arrays = {
        "W": np.stack([np.transpose(each.kernel) for each in weights]),
        "R": np.stack([np.transpose(each.recurrent_kernel) for each in weights]),
        "B": biases,
    }
    inputs = (graph.array(array, name=f"{name}/{letter}") for letter, array in arrays.items())
    results = graph.names(op, 2)
    return graph.add_many(op, results, x, *inputs, lengths, *peepholes, **attributes)
