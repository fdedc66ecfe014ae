"""A look inside of a model, against an LSTM written and differentiated by hand in float64."""

import functools
from collections import namedtuple
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS, BasicRNNCell, Cell, gates
from rnnjax.classifier import classify
from rnnjax.config import Config
from rnnjax.data.batches import Batch
from rnnjax.training.diagnostics import (
    CLOSED,
    OPEN,
    Diagnosis,
    beliefs,
    classify_prefixes,
    diagnose,
)
from rnnjax.training.task import build_task
from tests.cases import jit_unoptimized

SIZE, UNITS = 6, 5


def batch() -> Batch:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SIZE, 28, 28)).astype(np.uint8)
    return Batch(images, random.integers(0, 10, SIZE).astype(np.int32))


def look(config: Config, params: Any = None) -> tuple[Any, Diagnosis]:
    task = build_task(config)
    params = task.create_state().params if params is None else params
    return params, jax.jit(
        lambda params: diagnose(params, batch(), model=task.model, to_sequences=task.to_sequences)
    )(params)


class ByHand(NamedTuple):
    gates: dict[str, np.ndarray]  # [T, B, H]
    norms: np.ndarray  # [T]
    kernel_gradient: np.ndarray  # [F + H, 4H]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(params: Any) -> ByHand:
    """The equations of `LSTMCell` and the chain rule, forwards and backwards through time."""
    layer, readout = params["layer_0"], params["readout"]
    kernel, bias = (np.asarray(layer[name], np.float64) for name in ("kernel", "bias"))
    weight, offset = (np.asarray(readout[name], np.float64) for name in ("kernel", "bias"))
    examples, labels = batch()[:2]
    xs = np.swapaxes(examples, 0, 1) / 255.0
    c = h = np.zeros((SIZE, UNITS))
    steps, gates = [], []
    for x in xs:
        joined = np.concatenate([x, h], axis=1)
        i, j, f, o = np.split(joined @ kernel + bias, 4, axis=1)
        i, j, f, o = sigmoid(i), np.tanh(j), sigmoid(f + 1), sigmoid(o)
        steps.append((joined, c, i, j, f, o))
        gates.append({"input": i, "forget": f, "output": o})
        c = f * c + i * j
        h = o * np.tanh(c)
    scores = np.exp(h @ weight + offset)
    error = scores / scores.sum(1, keepdims=True) - np.eye(10)[labels]  # of each one's own loss
    dh, dc = error @ weight.T, np.zeros_like(c)
    norms, of_kernel = [], np.zeros_like(kernel)
    for joined, before, i, j, f, o in reversed(steps):
        c = f * before + i * j
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        products = [dc * j * i * (1 - i), dc * i * (1 - j**2)]
        products += [dc * before * f * (1 - f), dh * np.tanh(c) * o * (1 - o)]
        d = np.concatenate(products, axis=1)
        of_kernel += joined.T @ d / SIZE
        dh, dc = (d @ kernel.T)[:, -UNITS:], dc * f
        norms.append(np.sqrt((dh**2).sum(1) + (dc**2).sum(1)).mean())
    stacked = {name: np.stack([step[name] for step in gates]) for name in gates[0]}
    return ByHand(stacked, np.array(norms[::-1]), of_kernel)


def test_an_lstm_against_one_by_hand() -> None:
    config = Config()
    config.model.hidden_size = UNITS
    params = build_task(config).create_state().params
    scale = {"kernel": 6.0, "bias": 1.0}  # so that some gates are closed, and some are open
    layer = {name: scale[name] * param for name, param in params["layer_0"].items()}
    params, actual = look(config, {**params, "layer_0": layer})
    expected = lstm_by_hand(params)
    np.testing.assert_allclose(actual.gradient_norms["layer_0"], expected.norms, rtol=2e-4)
    np.testing.assert_allclose(
        actual.gradients["layer_0"]["kernel"], expected.kernel_gradient, rtol=2e-3, atol=1e-6
    )
    assert set(actual.open["layer_0"]) == set(actual.closed["layer_0"]) == {*expected.gates}
    for name, values in expected.gates.items():
        assert 0 < (values > OPEN).mean() < 1
        np.testing.assert_allclose(
            actual.open["layer_0"][name], (values > OPEN).mean((1, 2)), atol=1e-6
        )
        np.testing.assert_allclose(
            actual.closed["layer_0"][name], (values < CLOSED).mean((1, 2)), atol=1e-6
        )


@pytest.mark.parametrize(
    ("bidirectional", "readout"), [(False, "last"), (True, "last"), (True, "attention")]
)
def test_beliefs_are_those_of_the_rows_so_far(bidirectional: bool, readout: str) -> None:
    config = Config()
    config.model.hidden_size, config.model.bidirectional = UNITS, bidirectional
    config.model.readout = readout
    task = build_task(config)
    params, images = task.create_state().params, batch().images[:2]
    actual = beliefs(params, images, model=task.model, to_sequences=task.to_sequences)
    prefixes = classify_prefixes(params, images, model=task.model, to_sequences=task.to_sequences)
    run = jit_unoptimized(functools.partial(classify, task.model))
    for row in (1, 13, 28):
        logits, hidden = run(params, task.to_sequences(images)[:, :row])
        np.testing.assert_allclose(actual[:, row - 1], jax.nn.softmax(logits), atol=1e-6)
        np.testing.assert_allclose(prefixes.last_hidden[:, row - 1], hidden, atol=1e-6)


def test_norms_far_below_the_root_of_what_a_float_can_be() -> None:
    """Which is where gradients vanish: over 784 steps, at the beginning of the training."""
    config = Config()
    config.model.cell, config.model.hidden_size, config.data.sequence = "rnn", 32, "pixels"
    _, actual = look(config)
    norms = actual.gradient_norms["layer_0"]
    assert 0 < norms.min() < 1e-22
    assert norms.argmin() < norms.argmax()


def test_layers_that_go_backwards_are_read_in_their_own_order() -> None:
    config = Config()
    config.model.cell, config.model.hidden_size, config.model.bidirectional = "rnn", 8, True
    _, actual = look(config)
    for norms in actual.gradient_norms.values():  # each ends beside the loss
        assert norms[0] < norms[-1] / 100


class TwoCells(Cell):
    """A cell of one's own that calls another one, and counts its steps."""

    carry_type = namedtuple("Carry", ["hidden", "steps"])

    @nn.compact
    def __call__(self, carry: Any, inputs: Any) -> Any:
        inner, hidden = BasicRNNCell(self.features, name="inner")(carry.hidden, inputs)
        hidden = gates.gate("own", hidden) + gates.gate("own", -hidden)
        return self.carry_type(inner, carry.steps + 1), hidden

    @nn.nowrap
    def initialize_carry(self, rng: Any, input_shape: Any) -> Any:
        inner = BasicRNNCell(self.features).initialize_carry(rng, input_shape)
        return self.carry_type(inner, jnp.zeros(input_shape[:-1], jnp.int32))


@pytest.mark.parametrize("cell", [TwoCells, nn.GRUCell])
def test_cells_of_ones_own(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is not of rnnjax nothing is known; of what is inside of one, neither."""
    monkeypatch.setitem(CELLS, "own", cell)
    config = Config()
    config.model.cell, config.model.hidden_size = "own", 4
    _, actual = look(config)
    known = {"layer_0"} if cell is TwoCells else set()
    assert {*actual.gradient_norms} == {*actual.closed} == known
    if known:
        assert actual.gradient_norms["layer_0"].shape == (28,)
        assert {*actual.closed["layer_0"]} == {"own"}


# No gates, or gates in a loop of the cell's own.
WITHOUT_GATES = {"rnn", "indrnn", "nas", "grid_lstm"}


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell_is_looked_into(cell: str) -> None:
    """In shapes alone, two layers in both directions."""
    config = Config()
    config.model.cell, config.model.hidden_size = cell, 4
    config.model.bidirectional, config.model.num_layers = True, 2
    config.model.remat = True  # what is seen has no trace of it
    task = build_task(config)
    params = jax.eval_shape(task.create_state).params

    def look_inside(params: Any) -> Diagnosis:
        return diagnose(params, batch(), model=task.model, to_sequences=task.to_sequences)

    actual = jax.eval_shape(look_inside, params)
    layers = {"layer_0", "layer_0_back", "layer_1", "layer_1_back"}
    assert {*actual.gradient_norms} == layers
    assert {*actual.open} == {*actual.closed} == (set() if cell in WITHOUT_GATES else layers)
    assert {leaf.shape for leaf in jax.tree.leaves(actual[:3])} == {(28,)}
    assert jax.tree.map(jnp.shape, actual.gradients) == jax.tree.map(jnp.shape, params)
