"""A classifier as an ONNX model: ONNX's own recurrent nodes, or for any other cell a Scan node."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import onnx
from jax import export

from rnnjax.classifier import Params
from rnnjax.exporting.inference import INPUTS, OUTPUTS, Inference
from rnnjax.exporting.onnx_graph import IR_VERSION, OPSET, Graph, value_info
from rnnjax.exporting.onnx_jaxpr import translate_function
from rnnjax.exporting.onnx_layers import add_layers, has_own_nodes


def to_onnx(inference: Inference) -> bytes:
    """Returns a model of sequences `[B, T, F]`, float32, and lengths `[B]`, int32.

    Its outputs are the logits and the probabilities, `[B, K]`; B and T are free. Products are in
    float32, whatever training computed them in.

    Raises:
      UnsupportedError: if a cell does something that has no translation.
    """
    inference = inference._replace(model=inference.model.clone(compute_dtype="float32"))
    graph = Graph()
    arguments = _with_an_example(graph, *INPUTS)
    if has_own_nodes(inference.model):
        logits = add_layers(graph, inference.model, inference.params, *arguments)
        results = [logits, graph.add("Softmax", logits, axis=-1)]
    else:
        results = _translate(graph, inference, arguments)
    for result, name in zip(results, OUTPUTS, strict=True):
        graph.add_many("Slice", [name], result, graph.ints(0), graph.size("batch"), graph.ints(0))
    num_features, num_classes = inference.pixel_order.shape[1], inference.model.num_classes
    inputs = [
        value_info("sequences", jnp.float32, ("b", "t", num_features)),
        value_info("lengths", jnp.int32, ("b",)),
    ]
    outputs = [value_info(name, jnp.float32, ("b", num_classes)) for name in OUTPUTS]
    model = onnx.helper.make_model(
        graph.finish("classifier", inputs, outputs),
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        producer_name="rnnjax",
    )
    onnx.helper.set_model_props(model, inference.about)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _with_an_example(graph: Graph, sequences: str, lengths: str) -> tuple[str, str]:
    """Adds an example to an empty batch, at which onnxruntime 1.32 divides by zero and dies.

    The sizes `b` and `t` are measured after that, `batch` before.
    """
    graph.measure("batch", sequences, 0)
    is_empty = graph.add("Equal", graph.size("batch"), graph.ints(0))
    added, none = graph.add("Cast", is_empty, to=onnx.TensorProto.INT64), graph.ints(0)
    amounts = graph.add("Concat", none, none, none, added, none, none, axis=0)
    sequences = graph.add("Pad", sequences, amounts)
    lengths = graph.add("Pad", lengths, graph.add("Concat", none, added, axis=0))
    graph.measure("b", sequences, 0)
    graph.measure("t", sequences, 1)
    return sequences, lengths


def _translate(graph: Graph, inference: Inference, arguments: Sequence[str]) -> list[str]:
    """Adds a model whatever its cell is; returns the names of logits and probabilities."""
    batch, steps = export.symbolic_shape("b, t")
    sequences = (batch, steps, inference.pixel_order.shape[1])

    def classify(params: Params, sequences: jax.Array, lengths: jax.Array) -> list[jax.Array]:
        results = inference._replace(params=params).classify(sequences, lengths)
        return [results[name] for name in OUTPUTS]

    structs = [
        jax.ShapeDtypeStruct(sequences, jnp.float32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
    ]
    return translate_function(graph, classify, inference.params, structs, arguments)
