"""Our cells against flax's, with the same weights."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax import traverse_util

from rnnjax.bidirectional import Bidirectional
from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.interop import linen
from rnnjax.stack import Stack
from tests.cases import UNITS, assert_close, assert_equal
from tests.peers import FEATURES, LENGTHS, TOLERANCE, draw, draw_inputs, run

PAIRS: dict[str, tuple[Any, Any]] = {
    "simple": (BasicRNNCell(UNITS), nn.SimpleCell(UNITS)),
    "gru": (GRUCell(UNITS, reset_after=True), nn.GRUCell(UNITS)),
    "lstm": (LSTMCell(UNITS, forget_bias=0), nn.LSTMCell(UNITS)),
    "optimized_lstm": (LSTMCell(UNITS, forget_bias=0), nn.OptimizedLSTMCell(UNITS)),
}


def draw_params(cell: Any, num_inputs: int = FEATURES, seed: int = 0) -> Any:
    x = draw_inputs()[:, 0, ..., :1].repeat(num_inputs, -1)
    carry = cell.initialize_carry(jax.random.key(0), x.shape)
    shapes = traverse_util.flatten_dict(jax.eval_shape(cell.init, jax.random.key(0), carry, x))
    arrays = {p: draw(*s.shape, seed=seed + n) for n, (p, s) in enumerate(shapes.items())}
    return traverse_util.unflatten_dict(arrays)["params"]


@pytest.mark.parametrize("name", PAIRS)
def test_equals_flax(name: str) -> None:
    ours, theirs = PAIRS[name]
    params = draw_params(theirs)
    actual = run(ours, lambda params: linen.load(ours, params), params, LENGTHS)
    expected = run(theirs, lambda params: params, params, LENGTHS)
    assert_close(actual, expected, TOLERANCE)
    assert_equal(linen.save(ours, linen.load(ours, params)), params)


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
        (nn.LSTMCell(UNITS), {}, "flax has no LSTMCell, only: BasicRNNCell"),
        (LSTMCell(5, forget_bias=0), {}, r"hf/bias must have shape \(5,\), got \(4,\)"),
        (
            LSTMCell(UNITS, forget_bias=0),
            {"ii": {"kernel": np.ones((3, 4)), "bias": np.ones(4)}},
            r"ii/bias of shape \(4,\) has no place in the model",
        ),
        (LSTMCell(UNITS, forget_bias=0), {"ho": {}}, r"ho/bias of shape \(4,\) is missing"),
    ],
)
def test_mismatch_names_what_does_not_fit(cell: Any, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linen.load(cell, draw_params(nn.LSTMCell(UNITS)) | change)
