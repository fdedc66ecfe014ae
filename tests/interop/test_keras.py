"""Our cells against Keras 3's layers, with the same weights."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras as peer
import numpy as np
import pytest

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import keras
from rnnjax.recurrent.bidirectional import Bidirectional, StackedBidirectional
from rnnjax.recurrent.stack import Stack
from tests.cases import BATCH, STEPS, UNITS, assert_close, assert_equal
from tests.interop.peers import (
    FEATURES,
    LENGTHS,
    TOLERANCE,
    Result,
    compile_gradients,
    draw,
    draw_inputs,
    loss,
    run,
)

# Keras' variables have an `__array__` from before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

KINDS: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any]]] = {
    "simple": (BasicRNNCell, {}, peer.layers.SimpleRNN, {}),
    "relu": (BasicRNNCell, {"activation": nn.relu}, peer.layers.SimpleRNN, {"activation": "relu"}),
    "gru": (GRUCell, {"reset_after": True}, peer.layers.GRU, {}),
    "gru_reset_before": (GRUCell, {}, peer.layers.GRU, {"reset_after": False}),
    "lstm": (LSTMCell, {"forget_bias": 0}, peer.layers.LSTM, {}),
}
LAYOUTS: dict[str, tuple[int, bool, bool, bool]] = {  # layers, both ways, with biases, masked
    "one_masked": (1, False, True, True),
    "two_without_bias": (2, False, False, False),
    "two_both_ways_masked": (2, True, True, True),
}


def make(kind: str, num_layers: int, both_ways: bool, bias: bool) -> tuple[nn.Module, list[Any]]:
    """Returns a model of ours and Keras' layers like it, with random weights."""
    cell_type, fields, layer_type, options = KINDS[kind]
    fields = fields | {"param_dtype": "float64"}
    cells = [cell_type(UNITS, **fields) for _ in range(2 * num_layers)]
    if both_ways:
        pairs = [Bidirectional(cells[2 * n], cells[2 * n + 1]) for n in range(num_layers)]
        model = StackedBidirectional(pairs) if num_layers > 1 else pairs[0]
    else:
        model = Stack(cells[:num_layers]) if num_layers > 1 else cells[0]
    layers = []
    for n in range(num_layers):
        layer = layer_type(
            UNITS,
            use_bias=bias,
            return_sequences=True,
            return_state=True,
            zero_output_for_mask=True,
            # Quicker to draw than the default; all weights are replaced.
            recurrent_initializer="zeros",
            **options,
        )
        layer = peer.layers.Bidirectional(layer) if both_ways else layer
        layer.build((BATCH, STEPS, FEATURES if n == 0 else UNITS * (1 + both_ways)))
        weights = enumerate(layer.get_weights())
        layer.set_weights([draw(*w.shape, seed=10 * (n + 1) + k) for k, w in weights])
        layers.append(layer)
    return model, layers


def compile_keras(layers: list[Any], masked: bool) -> Callable[[list[jax.Array]], Result]:
    """Returns a function of the layers' weights, one after the other."""
    mask = jnp.asarray(np.arange(STEPS) < LENGTHS[:, None]) if masked else None

    def apply(weights: list[jax.Array], inputs: jax.Array) -> tuple[jax.Array, Any]:
        states: list[jax.Array] = []
        for layer in layers:
            count = len(layer.trainable_variables)
            layer_weights, weights = weights[:count], weights[count:]
            seeds = [variable.value for variable in layer.non_trainable_variables]
            (inputs, *new), _ = layer.stateless_call(layer_weights, seeds, inputs, mask=mask)
            states += new
        return loss(inputs), (inputs, states)

    differentiate = compile_gradients(apply)
    layer = getattr(layers[0], "forward_layer", layers[0])
    per_cell = 2 if isinstance(layer, peer.layers.LSTM) else 1

    def run_keras(weights: list[jax.Array]) -> Result:
        gradients, (outputs, states) = differentiate(weights, jnp.asarray(draw_inputs()))
        carries = [tuple(states[n : n + per_cell]) for n in range(0, len(states), per_cell)]
        return Result(outputs, carries, gradients[1], gradients[0])

    return run_keras


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_keras(kind: str, layout: str) -> None:
    num_layers, both_ways, bias, masked = LAYOUTS[layout]
    model, layers = make(kind, num_layers, both_ways, bias)
    run_keras = compile_keras(layers, masked)
    weights = [weight for layer in layers for weight in layer.get_weights()]
    # Ours computes in float64, and so is exact. Keras has no float64 on JAX. In float32 the
    # gradients of two layers with tanh are 1e-6 off, by how much depends on the version of XLA.
    with jax.enable_x64(True):
        exact = [jnp.asarray(weight, "float64") for weight in weights]
        actual = run(model, lambda w: keras.load(model, w), exact, LENGTHS if masked else None)
        params = keras.load(model, exact)
        saved = keras.save(model, params, use_bias=bias)
        assert_equal(keras.load(model, saved), params)
    assert [array.shape for array in saved] == [weight.shape for weight in weights]
    assert_close(actual, run_keras([jnp.asarray(weight) for weight in weights]), TOLERANCE)
    again = run_keras([jnp.asarray(array, "float32") for array in saved])
    assert_close(again.outputs, actual.outputs, TOLERANCE)


@pytest.mark.parametrize("cell_type", [GRUCell, LSTMCell])
def test_the_layout_of_cudnn(cell_type: Any) -> None:
    """By a loop over the matrices that lie in memory, as cuDNN multiplies by them."""
    fields: Any = {"reset_after": True} if cell_type is GRUCell else {"forget_bias": 0}
    cell, gates, features = cell_type(UNITS, **fields), 3 if cell_type is GRUCell else 4, 5
    rng = np.random.default_rng(0)
    kernel, recurrent_kernel = rng.normal(size=(2, 6, gates * UNITS))
    kernel, recurrent_kernel = kernel[:features], recurrent_kernel[:UNITS]
    biases = rng.normal(size=(2, gates * UNITS))
    ours = keras.load(cell, [kernel, recurrent_kernel, biases if gates == 3 else biases.sum(0)])
    stored = []
    for matrix in (kernel, recurrent_kernel):
        blocks = []
        for gate in np.split(matrix, gates, axis=1):
            unit_by_unit = [gate[i, j] for j in range(UNITS) for i in range(len(gate))]
            blocks.append(np.array(unit_by_unit).reshape(gate.shape))
        stored.append(np.concatenate(blocks, axis=1))
    assert_close(keras.load(cell, [*stored, biases.ravel()]), ours, 1e-6)


@pytest.mark.parametrize("resets_after", [False, True])
def test_the_other_gru_is_named(resets_after: bool) -> None:
    bias = np.ones((2, 12) if resets_after else 12)
    with pytest.raises(ValueError, match=f"into a GRUCell with reset_after={resets_after}"):
        keras.load(
            GRUCell(UNITS, reset_after=not resets_after), [np.ones((3, 12)), np.ones((4, 12)), bias]
        )


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(3, 16), (4, 16), (16,), (8, 16), (4, 16)], r"cells_1/bias of shape \(16,\) is missing"),
        (
            [(3, 16), (4, 16), (16,), (4, 12), (4, 16), (16,)],
            r"cells_1/kernel must have shape \(4, 16\), got \(4, 12\)",
        ),
        (
            [(3, 16), (4, 16), (16,), (4, 16), (4, 16), (16,), (2,)],
            r"weights\[6\] of shape \(2,\) is surplus",
        ),
    ],
)
def test_mismatch_names_the_array_and_both_shapes(shapes: list[Any], message: str) -> None:
    model = Stack([LSTMCell(UNITS, forget_bias=0), LSTMCell(UNITS, forget_bias=0)])
    with pytest.raises(ValueError, match=message):
        keras.load(model, [np.ones(shape) for shape in shapes])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (LSTMCell(UNITS), "LSTMCell: forget_bias must be 0 for weights of Keras, got 1.0"),
        (LSTMCell(UNITS, forget_bias=0, projection_size=2), "projection_size must be None"),
        (nn.GRUCell(UNITS), "Keras has no GRUCell, only: BasicRNNCell"),
        (GRUCell(UNITS), "a Keras GRU with reset_after=True, the default"),
    ],
)
def test_what_keras_does_not_have_is_an_error(cell: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        keras.load(cell, [np.ones((3, 12)), np.ones((4, 12)), np.ones((2, 12))])
