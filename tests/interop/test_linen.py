"""Our cells against flax's, with the same weights."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

from rnnjax.cells import (
    BasicRNNCell,
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    GRUCell,
    LSTMCell,
    MGUCell,
)
from rnnjax.interop import linen
from rnnjax.recurrent.bidirectional import Bidirectional
from rnnjax.recurrent.stack import Stack
from tests.cases import UNITS, assert_close, assert_equal
from tests.interop.peers import FEATURES, LENGTHS, TOLERANCE, draw, run

SPACE = (4, 3, 5)

PAIRS: dict[str, tuple[Any, Any]] = {
    "simple": (BasicRNNCell(UNITS), nn.SimpleCell(UNITS)),
    "gru": (GRUCell(UNITS, reset_after=True), nn.GRUCell(UNITS)),
    "lstm": (LSTMCell(UNITS, forget_bias=0), nn.LSTMCell(UNITS)),
    "mgu": (MGUCell(UNITS, reset_after=True), nn.MGUCell(UNITS)),
    "conv_lstm_1d": (ConvLSTM1DCell(UNITS, kernel_shape=(2,)), nn.ConvLSTMCell(UNITS, (2,))),
    "conv_lstm_2d": (ConvLSTM2DCell(UNITS), nn.ConvLSTMCell(UNITS, (3, 3))),
    "conv_lstm_3d_without_bias": (
        ConvLSTM3DCell(UNITS, kernel_shape=(1, 2, 3), use_bias=False),
        nn.ConvLSTMCell(UNITS, (1, 2, 3), use_bias=False),
    ),
    "optimized_lstm": (LSTMCell(UNITS, forget_bias=0), nn.OptimizedLSTMCell(UNITS)),
}


def draw_params(cell: Any, num_inputs: int = FEATURES, seed: int = 0) -> Any:
    x = np.ones((1, *SPACE[: cell.num_feature_axes - 1], num_inputs), np.float32)
    carry = cell.initialize_carry(jax.random.key(0), x.shape)
    variables = jax.eval_shape(cell.init, jax.random.key(0), carry, x)
    leaves, treedef = jax.tree.flatten(variables["params"])
    return treedef.unflatten([draw(*a.shape, seed=seed + n) for n, a in enumerate(leaves)])


@pytest.mark.parametrize("name", PAIRS)
def test_equals_flax(name: str) -> None:
    ours, theirs = PAIRS[name]
    params, space = draw_params(theirs), SPACE[: theirs.num_feature_axes - 1]
    actual = run(ours, lambda params: linen.load(ours, params), params, LENGTHS, space)
    expected = run(theirs, lambda params: params, params, LENGTHS, space)
    assert_close(actual, expected, TOLERANCE)
    loaded = linen.load(ours, params)
    saved = linen.save(ours, loaded)
    assert_equal(linen.load(ours, saved), loaded)
    assert jax.tree.map(np.shape, saved) == jax.tree.map(np.shape, params)


def test_equals_flax_in_a_model_of_several_cells() -> None:
    def make(cell_type: Any, **fields: Any) -> Bidirectional:
        cells = [cell_type(UNITS, **fields) for _ in range(4)]
        return Bidirectional(Stack(cells[:2]), Stack(cells[2:]))

    ours, theirs = make(LSTMCell, forget_bias=0), make(nn.LSTMCell)
    direction = {
        f"cells_{n}": draw_params(nn.LSTMCell(UNITS), width, seed=20 * n)
        for n, width in enumerate((FEATURES, UNITS))
    }
    params = {"forward": direction, "backward": jax.tree.map(np.negative, direction)}
    actual = run(ours, lambda params: linen.load(ours, params), params, LENGTHS)
    expected = run(theirs, lambda params: params, params, LENGTHS)
    assert_close(actual, expected, TOLERANCE)
    assert_equal(linen.save(ours, linen.load(ours, params)), params)


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        (LSTMCell(UNITS), {}, "forget_bias must be 0 for weights of flax, got 1.0"),
        (GRUCell(UNITS), {}, "reset_after must be True for weights of flax, got False"),
        (ConvLSTM2DCell(UNITS, forget_bias=0), {}, "forget_bias must be 1 for weights of flax"),
        (MGUCell(UNITS), {}, "reset_after must be True for weights of flax, got False"),
        (nn.LSTMCell(UNITS), {}, "flax has no LSTMCell, only: BasicRNNCell"),
        (LSTMCell(5, forget_bias=0), {}, r"hf/bias must have shape \(5,\), got \(4,\)"),
        (
            LSTMCell(UNITS, forget_bias=0),
            {"ii": {"kernel": np.ones((3, 4)), "bias": np.ones(4)}},
            r"ii/bias of shape \(4,\) is surplus",
        ),
        (LSTMCell(UNITS, forget_bias=0), {"ho": {}}, r"ho/bias of shape \(4,\) is missing"),
    ],
)
def test_mismatch_names_what_does_not_fit(cell: Any, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linen.load(cell, draw_params(nn.LSTMCell(UNITS)) | change)
