"""Our cells against TF1's, with the same variables, by name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

# The cells that `tf.compat.v1.nn.rnn_cell` stands for, which TF has only with Keras 2 installed.
from tensorflow.python.ops import rnn
from tensorflow.python.ops import rnn_cell_impl as peer

from rnnjax.cells import BasicRNNCell, DropoutCell, GRUCell, LSTMCell
from rnnjax.interop import tf1
from rnnjax.recurrent.bidirectional import Bidirectional, StackedBidirectional
from rnnjax.recurrent.stack import Stack
from tests.cases import UNITS, assert_close, assert_equal
from tests.interop.peers import (
    FEATURES,
    LENGTHS,
    TOLERANCE,
    Result,
    draw,
    draw_inputs,
    draw_probe,
    hidden_first,
    run,
)

# All of TF1's cells say that Keras has others.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`tf.nn.rnn_cell:UserWarning"),
    pytest.mark.filterwarnings("ignore:`layer.add_variable` is deprecated:UserWarning"),
]


def full(**fields: Any) -> LSTMCell:
    options: dict[str, Any] = {
        "use_peepholes": True,
        "cell_clip": 0.3,
        "projection_size": 2,
        "projection_clip": 0.2,
    }
    return LSTMCell(UNITS, **options | fields)


def tf_full() -> Any:
    return peer.LSTMCell(UNITS, use_peepholes=True, cell_clip=0.3, num_proj=2, proj_clip=0.2)


MODELS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "rnn": (BasicRNNCell(UNITS), lambda: peer.BasicRNNCell(UNITS)),
    "gru": (GRUCell(UNITS), lambda: peer.GRUCell(UNITS)),
    "basic_lstm": (LSTMCell(UNITS), lambda: peer.BasicLSTMCell(UNITS)),
    "lstm": (full(), tf_full),
    "stack": (
        Stack([DropoutCell(full()), GRUCell(UNITS)]),
        lambda: peer.MultiRNNCell([peer.DropoutWrapper(tf_full()), peer.GRUCell(UNITS)]),
    ),
    "bidirectional": (
        Bidirectional(Stack([LSTMCell(UNITS), LSTMCell(UNITS)]), GRUCell(UNITS)),
        lambda: (
            peer.MultiRNNCell([peer.LSTMCell(UNITS), peer.LSTMCell(UNITS)]),
            peer.GRUCell(UNITS),
        ),
    ),
}


def run_tf1(make: Callable[[], Any], path: Path) -> tuple[dict[str, np.ndarray], Result]:
    """Returns what is in a checkpoint, and what TF1 makes of it in a session."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs, cell = tf.constant(draw_inputs()), make()
        options: dict[str, Any] = {"sequence_length": LENGTHS, "dtype": tf.float32}
        outputs: Any
        if isinstance(cell, tuple):
            forward, backward = cell
            outputs, state = rnn.bidirectional_dynamic_rnn(forward, backward, inputs, **options)
            outputs = tf.concat(outputs, axis=-1)
        else:
            outputs, state = rnn.dynamic_rnn(cell, inputs, **options)
        variables = tf.compat.v1.global_variables()
        for n, variable in enumerate(variables):
            variable.load(draw(*variable.shape, seed=10 + n), session)
        saved = tf.compat.v1.train.Saver().save(session, str(path / "model"))
        loss = tf.reduce_sum(outputs * draw_probe(tuple(outputs.shape)))
        gradients = tf.gradients(loss, [inputs, *variables])
        outputs, state, gradients = session.run((outputs, state, gradients))
    reader = tf.train.load_checkpoint(saved)
    arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    names = [variable.op.name for variable in variables]
    by_name = dict(zip(names, gradients[1:], strict=True))
    return arrays, Result(outputs, hidden_first(state), gradients[0], by_name)


@pytest.fixture
def _tf1_loops() -> Iterator[None]:
    """Loops as TF1 had them: TF2's cannot be differentiated in a session."""
    tf.compat.v1.disable_control_flow_v2()
    yield
    tf.compat.v1.enable_control_flow_v2()


@pytest.mark.usefixtures("_tf1_loops")
@pytest.mark.parametrize("name", MODELS)
def test_equals_tf1(name: str, tmp_path: Path) -> None:
    model, make = MODELS[name]
    arrays, expected = run_tf1(make, tmp_path)
    arrays = jax.tree.map(jnp.asarray, arrays)
    actual = run(model, lambda arrays: tf1.load(model, arrays), arrays, LENGTHS)
    assert_close(actual, expected, TOLERANCE)

    params = tf1.load(model, arrays)
    assert_equal(tf1.load(model, {f"{key}:0": array for key, array in arrays.items()}), params)
    saved = tf1.save(model, params)
    if name == "basic_lstm":
        saved = {key.replace("lstm", "basic_lstm"): array for key, array in saved.items()}
    assert_equal(saved, arrays)


def test_layers_in_both_directions() -> None:
    model = StackedBidirectional(
        [Bidirectional(GRUCell(UNITS), GRUCell(UNITS)) for _ in range(2)],
    )
    variables = jax.eval_shape(model.init, jax.random.key(0), np.ones((1, 1, FEATURES), "f4"))
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), variables["params"])
    saved = tf1.save(model, params)
    # As contrib's `stack_bidirectional_dynamic_rnn` calls them.
    kernel = saved["stack_bidirectional_rnn/cell_1/bidirectional_rnn/bw/gru_cell/gates/kernel"]
    assert_equal(kernel, params["layers_1"]["backward"]["gates_kernel"])
    assert_equal(tf1.load(model, saved), params)
    # And its `stack_bidirectional_rnn`.
    static = {name.replace("/bidirectional_rnn", ""): array for name, array in saved.items()}
    assert_equal(tf1.load(model, static), params)


def test_a_gru_compatible_with_cudnn() -> None:
    cell, shape = GRUCell(UNITS, reset_after=True), (1, FEATURES)
    carry = cell.initialize_carry(jax.random.key(0), shape)
    variables = jax.eval_shape(cell.init, jax.random.key(0), carry, np.ones(shape, "f4"))
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), variables["params"])
    saved = tf1.save(cell, params)
    # As contrib's `CudnnCompatibleGRUCell` calls it.
    candidate = "rnn/cudnn_compatible_gru_cell/candidate"
    assert_equal(saved[f"{candidate}/hidden_projection/bias"], params["recurrent_bias"])
    assert_equal(saved[f"{candidate}/input_projection/kernel"], params["candidate_kernel"][:3])
    assert_equal(tf1.load(cell, saved), params)


def checkpoint(*cells: str) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "global_step": np.int64(7),
        "dense/kernel": np.ones((4, 10)),
        "beta1_power": np.float32(0.9),
    }
    for n, cell in enumerate(cells):
        for name, shape in {"kernel": (7, 16), "bias": (16,)}.items():
            arrays |= {f"{cell}/{name}": np.full(shape, n), f"{cell}/{name}/Adam_1": np.ones(shape)}
    return arrays


def test_names_from_before_1_2() -> None:
    arrays = checkpoint("rnn/basic_lstm_cell")
    renamed = {
        name.replace("/kernel", "/weights").replace("/bias", "/biases"): array
        for name, array in arrays.items()
    }
    assert "rnn/basic_lstm_cell/weights/Adam_1" in renamed
    assert_equal(tf1.load(LSTMCell(UNITS), renamed), tf1.load(LSTMCell(UNITS), arrays))


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("encoder/rnn", 0),
        ("encoder/rnn/basic_lstm_cell", 0),
        ("decoder", 1),
        ("decoder/lstm_cell_1/", 2),
        ("mine", 3),
    ],
)
def test_scope_names_the_cell(scope: str, value: int) -> None:
    names = ("encoder/rnn/basic_lstm_cell", "decoder/lstm_cell", "other/lstm_cell_1", "mine")
    arrays = checkpoint(*names)
    if scope == "decoder/lstm_cell_1/":
        arrays = checkpoint("decoder/gru", "decoder/lstm_cell", "decoder/lstm_cell_1")
    params = tf1.load(LSTMCell(UNITS), arrays, scope=scope)
    assert_equal(params, {"kernel": np.full((7, 16), value), "bias": np.full(16, value)})


@pytest.mark.parametrize(
    ("model", "cells", "change", "message"),
    [
        (
            LSTMCell(4),
            ("a/lstm_cell", "b/lstm_cell"),
            {},
            r"candidates are \['a/lstm_cell/', 'b/lst",
        ),
        (LSTMCell(4), ("a/lstm_cell", "a/lstm_cell_1"), {}, "must be in one scope"),
        (
            LSTMCell(4),
            ("a/gru_cell",),
            {},
            "candidates are none; .* the names are: global_step, dense",
        ),
        (nn.LSTMCell(4), ("a/lstm_cell",), {}, "TF1 has no LSTMCell, only: BasicRNNCell"),
        (
            LSTMCell(4),
            ("a/lstm_cell",),
            {"a/lstm_cell/w_i_diag": np.ones(4)},
            r"a/lstm_cell/w_i_diag of shape \(4,\) is surplus",
        ),
        (
            LSTMCell(4, use_peepholes=True),
            ("a/lstm_cell",),
            {},
            r"a/lstm_cell/w_._diag of shape \(4,\) is missing",
        ),
        (
            LSTMCell(5),
            ("a/lstm_cell",),
            {},
            r"a/lstm_cell/bias must have shape \(20,\), got \(16,\)",
        ),
        (
            Stack([LSTMCell(4), LSTMCell(4)]),
            ("rnn/multi_rnn_cell/cell_0/lstm_cell",),
            {},
            r"rnn/multi_rnn_cell/cell_1/lstm_cell/bias of shape \(16,\) is missing",
        ),
        (
            Stack([LSTMCell(4)]),
            ("rnn/multi_rnn_cell/cell_0/lstm_cell", "rnn/multi_rnn_cell/cell_1/lstm_cell"),
            {},
            r"cell_1/lstm_cell/kernel of shape \(7, 16\) is surplus",
        ),
    ],
)
def test_mismatch_names_what_does_not_fit(
    model: nn.Module, cells: tuple[str, ...], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tf1.load(model, checkpoint(*cells) | change)
