"""Stacks and both directions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import ConvLSTM1DCell, GRUCell, LSTMCell, QRNNCell, ResidualCell
from rnnjax.recurrent.bidirectional import Bidirectional, BidirectionalCarry, StackedBidirectional
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import BATCH, STEPS, assert_close, example, jit_unoptimized, run

LENGTHS = np.array([4, 0, STEPS])


@pytest.mark.usefixtures("x64")
def test_stack_equals_one_layer_after_the_other() -> None:
    layers: list[Any] = [
        LSTMCell(4, projection_size=3, param_dtype="float64"),
        QRNNCell(6, param_dtype="float64"),  # Its carry is as wide as what comes in.
        GRUCell(2, param_dtype="float64"),
    ]
    stack = Stack(layers)
    variables, carry, outputs = example(stack, "float64")
    actual = run(stack, variables, outputs, initial_carry=carry, lengths=LENGTHS)
    carries = []
    for n, cell in enumerate(layers):
        params = {"params": variables["params"][f"cells_{n}"]}
        outputs, last = run(cell, params, outputs, initial_carry=carry[n], lengths=LENGTHS)
        carries.append(last)
    assert_close(tuple(actual), (outputs, tuple(carries)))


def test_dropout_between_the_layers_of_a_stack() -> None:
    cells = [ResidualCell(GRUCell(64)), ResidualCell(GRUCell(64))]
    stack = Stack(cells, between_keep_prob=0.5)
    x = jnp.ones((BATCH, STEPS, 64))
    zeros = jax.tree.map(jnp.zeros_like, nn.init(unroll, stack)(jax.random.key(0), x))  # y = x
    y = run(stack, zeros, x, rngs={"dropout": jax.random.key(0)}).outputs
    assert set(np.unique(y)) == {0, 2}
    assert np.mean(y == 0) == pytest.approx(0.5, abs=0.06)
    off = Stack(cells, between_keep_prob=0.5, deterministic=True)
    np.testing.assert_array_equal(run(off, zeros, x).outputs, x)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.usefixtures("x64")
def test_both_directions(lengths: np.ndarray | None, time_major: bool) -> None:
    """The backward half is the cell over each sequence's own steps, turned round and back."""
    cells = [LSTMCell(4, param_dtype="float64"), GRUCell(3, param_dtype="float64")]
    model = Bidirectional(*cells)
    inputs = jax.random.normal(jax.random.key(0), (BATCH, STEPS, 5), "float64")
    variables = model.init(jax.random.key(1), inputs)
    given = inputs.swapaxes(0, 1) if time_major else inputs
    outputs, carry = jit_unoptimized(
        lambda v, x: model.apply(v, x, lengths=lengths, time_major=time_major)
    )(variables, given)
    outputs = outputs.swapaxes(0, 1) if time_major else outputs
    last, _ = model.apply(variables, inputs, lengths=lengths, return_outputs="last")
    ends = np.full(BATCH, STEPS) if lengths is None else lengths
    for n, end in enumerate(ends):
        np.testing.assert_array_equal(outputs[n, end:], 0)
        if end == 0:
            np.testing.assert_array_equal(last[n], 0)
            continue
        one = inputs[n : n + 1, :end]
        forward = run(cells[0], {"params": variables["params"]["forward"]}, one)
        back = run(cells[1], {"params": variables["params"]["backward"]}, one[:, ::-1])
        assert_close(outputs[n, :end], np.concat([forward.outputs, back.outputs[:, ::-1]], -1)[0])
        assert_close(last[n], np.append(forward.outputs[0, -1], back.outputs[0, -1]))
        assert_close(
            jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], carry),
            BidirectionalCarry(forward.carry, back.carry),
        )


@pytest.mark.usefixtures("x64")
def test_stacked_bidirectional() -> None:
    def layer() -> Any:
        return Bidirectional(LSTMCell(4, param_dtype="float64"), LSTMCell(4, param_dtype="float64"))

    model: Any = StackedBidirectional([layer(), layer()])
    inputs = jax.random.normal(jax.random.key(0), (BATCH, STEPS, 5), "float64")
    variables = model.init(jax.random.key(1), inputs)
    params = variables["params"]
    below = layer().apply({"params": params["layers_0"]}, inputs, lengths=LENGTHS)
    above = layer().apply({"params": params["layers_1"]}, below.outputs, lengths=LENGTHS)
    actual = model.apply(variables, inputs, lengths=LENGTHS)
    assert_close(tuple(actual), (above.outputs, (below.carry, above.carry)))
    again = model.apply(
        variables, inputs, initial_carry=actual.carry, lengths=LENGTHS, return_outputs="last"
    )
    assert again.outputs.shape == (BATCH, 8)


GRU = GRUCell(5)


@pytest.mark.parametrize(
    ("message", "model"),
    [
        ("cells must hold at least one", Stack([])),
        ("cells holds one object twice", Stack([GRU, GRU])),
        ("takes inputs with 2 feature axes, .* puts out 1", Stack([GRU, ConvLSTM1DCell(2)])),
        ("layers must hold at least one", StackedBidirectional([])),
        ("forward or backward holds one object twice", Bidirectional(GRU, GRU)),
        ("cells holds one object twice", Stack([ResidualCell(GRU), ResidualCell(GRU)])),
        ("between_keep_prob must be above 0", Stack([GRU], between_keep_prob=0.0)),
    ],
)
def test_errors_name_the_field(message: str, model: Any) -> None:
    init = nn.init(unroll, model) if isinstance(model, Stack) else model.init
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(init, jax.random.key(0), jnp.ones((BATCH, STEPS, 5)))
