"""ONNX models, run by onnxruntime, against the classifiers that they were made of."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import export, lax

from rnnjax.cells import CELLS
from rnnjax.exporting.inference import OUTPUTS, Inference
from rnnjax.exporting.onnx import to_onnx
from rnnjax.exporting.onnx_graph import IR_VERSION, OPSET, Graph, UnsupportedError, value_info
from rnnjax.exporting.onnx_jaxpr import translate
from rnnjax.exporting.onnx_primitives import SAME, TRANSLATIONS
from rnnjax.exporting.onnx_shapes import dims_of
from tests.cases import assert_close, jit_unoptimized, label
from tests.exporting.models import FEATURES, LENGTHS, inference, sequences
from tests.references import CASES
from tests.references.common import Case

pytestmark = pytest.mark.usefixtures("unchecked")  # a symbol that stands for B or T is no int

NODES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
OWN_NODES = [
    Case("rnn", {}),
    Case("gru", {}),
    Case("gru", {"reset_after": True}),
    Case("lstm", {}),
    Case("lstm", {"forget_bias": 0.0, "use_peepholes": True}),
]
# Of each cell, the case with most of its options.
FULLEST = {case.name: case for case in sorted(CASES, key=lambda case: len(case.options))}
BLOCKS = {"grid_lstm"}  # cases that are made for other inputs than a row


def check(model: Inference, num_features: int = FEATURES) -> set[str]:
    """Compares a model in ONNX with itself; returns the operations that it consists of."""
    x, content = sequences(num_features), to_onnx(model)
    expected = jit_unoptimized(model.classify)(x, LENGTHS)
    session = onnxruntime.InferenceSession(content)
    for size in (len(x), 1, 0):  # of a batch
        results = session.run(list(OUTPUTS), {"sequences": x[:size], "lengths": LENGTHS[:size]})
        assert_close(results, [expected[name][:size] for name in OUTPUTS], 1e-5)
    return {node.op_type for node in onnx.load_from_string(content).graph.node}


@pytest.mark.parametrize("case", OWN_NODES, ids=label)
def test_cells_that_onnx_has_are_its_own_nodes(case: Case) -> None:
    ops = check(inference(case, num_layers=2, bidirectional=True))
    assert ops & {*NODES.values(), "Scan"} == {NODES[case.name]}


@pytest.mark.parametrize("case", FULLEST.values(), ids=label)
def test_every_cell_with_all_its_options(case: Case) -> None:
    options = {k: v for k, v in case.options.items() if k != "features"}
    num_features = 7 if case.name in BLOCKS else FEATURES
    ops = check(inference(Case(case.name, options), num_features), num_features)
    assert ("Scan" in ops) != (case in OWN_NODES)


def test_every_registered_cell_is_tested() -> None:
    assert set(FULLEST) == set(CELLS)


def test_layers_and_both_directions_in_scan_nodes() -> None:
    assert "Scan" in check(inference(Case("mgu", {}), num_layers=2, bidirectional=True))


@pytest.mark.parametrize("readout", ["mean", "max", "attention"])
def test_readouts_over_time(readout: str) -> None:
    fields = {"num_layers": 2, "bidirectional": True, "readout": readout}
    assert check(inference(Case("lstm", {}), **fields)) & {"LSTM", "Scan"} == {"LSTM"}
    assert "Scan" in check(inference(Case("indrnn", {}), readout=readout))


def test_a_model_of_half_precision_is_exported_in_single() -> None:
    model = inference(Case("lstm", {}), compute_dtype="bfloat16", remat=False)
    single = model._replace(model=model.model.clone(compute_dtype="float32"))
    assert to_onnx(model) == to_onnx(single)


def test_what_is_to_know_is_in_the_model() -> None:
    model = onnx.load_from_string(to_onnx(inference(Case("rnn", {}))))
    assert {each.key: each.value for each in model.metadata_props} == {"step": "7"}
    names = {array.name for array in model.graph.initializer}
    assert {"layer_0/W", "layer_0/R", "layer_0/B", "readout/kernel", "readout/bias"} <= names


def run_translated(function: Any, *arguments: np.ndarray) -> Sequence[Any]:
    """Returns what a function makes of arrays when it runs in ONNX; their first axis is free."""
    (size,) = export.symbolic_shape("b")
    graph, names = Graph(), [f"x{n}" for n in range(len(arguments))]
    graph.measure("b", names[0], 0)
    structs = [jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype) for a in arguments]
    traced = jax.make_jaxpr(function)(*structs)
    results = [graph.add("Identity", name) for name in translate(graph, traced, names)]
    infos = [
        [value_info(n, a.dtype, dims_of(a.shape)) for n, a in zip(ns, avals, strict=True)]
        for ns, avals in ((names, traced.in_avals), (results, traced.out_avals))
    ]
    opset = [onnx.helper.make_opsetid("", OPSET)]
    made = graph.finish("tested", *infos)
    model = onnx.helper.make_model(made, ir_version=IR_VERSION, opset_imports=opset)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, dict(zip(names, arguments, strict=True)))


def elementwise(x: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
    """Returns what each primitive that ONNX has by another name makes of x, or of x and y."""
    is_less = x < y
    results = {"and": is_less & (x > 0.5), "or": is_less | (x > 0.5), "not": ~is_less}
    for name in SAME.keys() - results.keys():
        function = getattr(lax, name)
        try:
            results[name] = function(x)
        except TypeError:
            results[name] = function(x, y)
    return results


def shaped(x: jax.Array, y: jax.Array) -> dict[str, Any]:
    """Returns what each primitive with parameters makes of x `[B, 4, 3]` and y `[B, 3, 5]`."""
    kernel = jnp.arange(12.0).reshape(2, 3, 2)
    return {
        "broadcast_in_dim": jnp.broadcast_to(x[:, None], (x.shape[0], 2, 4, 3)),
        "concatenate": jnp.concatenate([x, 2 * x], axis=1),
        "conv_general_dilated": lax.conv_general_dilated(
            x, kernel, (2,), [(1, 2)], rhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC")
        ),
        "convert_element_type": [x.astype(jnp.int32), (x > 1).astype(jnp.float32)],
        "dim_as_value": x * x.shape[0],
        "dot_general": [jnp.einsum("btf,bfk->tbk", x, y), x @ kernel[0]],
        "expm1": jnp.expm1(x),
        "gather": [x[:, 1], x[:, 1:3]],
        "integer_pow": x**3,
        "iota": [lax.broadcasted_iota(jnp.int32, (x.shape[0], 2), n) for n in (0, 1)],
        "log1p": jnp.log1p(x),
        "ne": x != 1,
        "pad": [
            lax.pad(x, jnp.float32(0), [(0, 0, 0)] * 3),
            lax.pad(x, jnp.float32(0.5), [(0, 0, 0), (2, 1, 0), (1, -1, 0)]),
        ],
        "reduce_max": x.max(1),
        "reduce_min": x.min((0, 2)),
        "reduce_or": (x > 1).any(1),
        "reduce_sum": x.sum(),
        "rem": lax.rem(x - 1, y[:, :1, :1]),
        "reshape": [x.reshape(x.shape[0], 12), jnp.arange(6).reshape(2, 3) + x.shape[0]],
        "rsqrt": lax.rsqrt(x),
        "select_n": jnp.where(x > 1, x, -x),
        "slice": lax.slice(kernel, (0, 1, 0), (2, 3, 2), (1, 2, 1)) + x.sum(),
        "split": jnp.split(x, [1, 3], axis=1),
        "square": jnp.square(x),
        "squeeze": x.sum(1, keepdims=True).squeeze(1),
        "stack": jnp.stack([x, x + 1], axis=2),
        "transpose": x.transpose(2, 0, 1),
        "unstack": [*(kernel[0] * x.sum())],
    }


@pytest.mark.parametrize("function", [elementwise, shaped])
def test_every_primitive(function: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.1, 2, size).astype(np.float32) for size in ((2, 4, 3), (2, 3, 5)))
    arguments = (x, x[::-1]) if function is elementwise else (x, y)
    expected = function(*arguments)
    assert expected.keys() == (SAME if function is elementwise else TRANSLATIONS).keys()
    actual = run_translated(lambda *xs: jax.tree.leaves(function(*xs)), *arguments)
    for a, e in zip(actual, jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype
        assert_close(a, e, 1e-6)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: jnp.sort(x), "'sort'"),
        (lambda x: lax.pad(x, jnp.float32(0), [(0, 0, 0), (0, 0, 1)]), "'pad' between"),
        (lambda x: x[:, jnp.array([0, 2])], "'gather'"),
        (lambda x: lax.fori_loop(0, 3, lambda _, y: 2 * y, x), "'scan' over nothing"),
        (lambda x: jnp.zeros((2 * x.shape[0],)), "an axis of 2*b elements"),
    ],
)
def test_what_has_no_translation_is_named(function: Any, what: str) -> None:
    with pytest.raises(UnsupportedError, match=what.replace("*", r"\*")):
        run_translated(function, np.ones((2, 4), np.float32))
