"""What is pooled over time, against NumPy in float64: lengths, layers, directions, convolutions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS
from rnnjax.pooling import Pooling
from tests.cases import assert_close, jit_unoptimized
from tests.exporting.models import LENGTHS, UNITS, inference, sequences
from tests.references import REFERENCES
from tests.references.common import Case

KINDS = ["mean", "max", "attention"]
B, T, H = 5, 7, 4
RNG = np.random.default_rng(0)


def pooled(kind: str, outputs: Any, params: Any) -> np.ndarray:
    """Returns the vector `[H]` of the outputs `[T, H]` of one sequence."""
    outputs = np.asarray(outputs, np.float64)
    if not len(outputs):
        return np.zeros(outputs.shape[1])
    if kind == "mean":
        return outputs.mean(0)
    if kind == "max":
        return outputs.max(0)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    projection, vector = params["projection"], params["score"]["kernel"][:, 0]
    scores = np.tanh(outputs @ projection["kernel"] + projection["bias"]) @ vector
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ outputs


def variables_of(kind: Any, outputs: np.ndarray) -> Any:
    return Pooling(kind).init(jax.random.key(0), jnp.asarray(outputs, jnp.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_do_not_count_may_hold_anything(kind: Any) -> None:
    outputs = RNG.normal(size=(B, T, H)).astype(np.float32) * 3 - 2
    lengths = np.array([T, 1, 0, 4, T + 2], np.int32)
    variables = variables_of(kind, outputs)
    outputs[np.arange(T) >= lengths[:, None]] = np.nan
    params = variables.get("params")
    expected = [pooled(kind, o[:n], params) for o, n in zip(outputs, lengths, strict=True)]
    actual = jax.jit(Pooling(kind).apply)(variables, outputs, lengths)
    assert_close(actual, np.stack(expected), 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: Any, x64: None) -> None:
    """Against differences of the reference, with respect to outputs and parameters."""
    outputs, weights = RNG.normal(size=(1, T, H)), RNG.normal(size=H)
    variables = jax.tree.map(jnp.float64, variables_of(kind, outputs))

    def value(variables: Any, outputs: Any) -> jax.Array:
        return (Pooling(kind).apply(variables, outputs, jnp.array([5]))[0] * weights).sum()

    def reference(variables: Any, outputs: Any) -> float:
        return float(pooled(kind, outputs[0, :5], variables.get("params")) @ weights)

    arguments = (variables, jnp.asarray(outputs))
    gradients = jax.grad(value, argnums=(0, 1))(*arguments)
    direction = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape), arguments)
    ends = [jax.tree.map(lambda a, d, e=e: a + e * d, arguments, direction) for e in (1e-6, -1e-6)]
    slope = (reference(*ends[0]) - reference(*ends[1])) / 2e-6
    along = sum(
        np.vdot(g, d)
        for g, d in zip(jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True)
    )
    assert along == pytest.approx(slope, rel=1e-6)


def over_time(name: str, params: Any, x: np.ndarray, reverse: bool) -> np.ndarray:
    """Returns the outputs `[T, ...]` of a cell, step by step."""
    cell: Any = CELLS[name](x.shape[-1] if x.ndim > 2 else UNITS)
    carry = cell.initialize_carry(jax.random.key(0), x.shape[1:])._asdict()
    params = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
    outputs = []
    for step in x[::-1] if reverse else x:
        carry, output = REFERENCES[name](params, carry, step, {})
        outputs.append(output)
    return np.array(outputs[::-1] if reverse else outputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["gru", "conv_lstm_1d"])
def test_a_classifier_pools_what_it_puts_out(name: str, kind: str) -> None:
    """Of two layers in both directions, and of all positions of a convolution."""
    is_conv = name == "conv_lstm_1d"
    fields = {} if is_conv else {"num_layers": 2, "bidirectional": True}
    model = inference(Case(name, {}), readout=kind, **fields)
    params, x = model.params, sequences()
    actual = jit_unoptimized(model.classify)(x, LENGTHS)["logits"]
    for n in (0, 1, 4):  # the sequences of 7, 0 and 4 steps
        outputs = np.asarray(x[n, : LENGTHS[n]], np.float64)
        if is_conv:
            outputs = over_time(name, params["layer_0"], outputs[..., None], False)
        for layer in () if is_conv else ("layer_0", "layer_1"):
            both = [
                over_time(name, params[own], outputs, own != layer).reshape(LENGTHS[n], UNITS)
                for own in (layer, f"{layer}_back")
            ]
            outputs = np.concatenate(both, axis=-1)
        outputs = outputs.reshape(LENGTHS[n], len(params["readout"]["kernel"]))
        kernel, bias = (np.float64(params["readout"][key]) for key in ("kernel", "bias"))
        expected = pooled(kind, outputs, params.get("pooling")) @ kernel + bias
        assert_close(actual[n], expected, 1e-6)
