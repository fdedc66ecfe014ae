"""Cells around cells: what each adds, and that they nest."""

import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import (
    CELLS,
    AttentionCell,
    DropoutCell,
    GRUCell,
    HighwayCell,
    LearnedCarryCell,
    LSTMCarry,
    LSTMCell,
    ResidualCell,
    ZoneoutCell,
)
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import Unrolled, unroll
from tests.cases import (
    BATCH,
    INPUT_SHAPES,
    STEPS,
    assert_close,
    assert_equal,
    build,
    example,
    jit_unoptimized,
    run,
)
from tests.references.common import Case, sigmoid


def test_residual_adds_the_inputs() -> None:
    inner = LSTMCell(6)
    variables, carry, inputs = example(inner, "float32")
    params = {"params": {"inner": variables["params"]}}
    plain = run(inner, variables, inputs, initial_carry=carry)
    actual = run(ResidualCell(inner), params, inputs, initial_carry=carry)
    assert_equal(actual, Unrolled(inputs + plain.outputs, plain.carry))


@pytest.mark.parametrize("couple_gates", [True, False])
@pytest.mark.usefixtures("x64")
def test_highway_gates_the_inputs(couple_gates: bool) -> None:
    cell = HighwayCell(
        LSTMCell(6, param_dtype="float64"), couple_gates=couple_gates, param_dtype="float64"
    )
    variables, carry, inputs = example(cell, "float64")
    p, x = jax.device_get((variables["params"], inputs))
    plain = run(cell.inner, {"params": p["inner"]}, inputs, initial_carry=carry)
    through = sigmoid(x @ p["carry_kernel"] + p["carry_bias"])
    transform = 1 - through
    if not couple_gates:
        transform = sigmoid(x @ p["transform_kernel"] + p["transform_bias"])
    expected = through * x + transform * np.asarray(plain.outputs)
    actual = run(cell, variables, inputs, initial_carry=carry)
    assert_close(tuple(actual), (expected, plain.carry))
    initial = cell.init(jax.random.key(0), carry, inputs[:, 0])["params"]
    assert np.all(initial["carry_bias"] == 1)
    assert couple_gates or np.all(initial["transform_bias"] == -1)


@pytest.mark.parametrize("score_size", [None, 6])
@pytest.mark.usefixtures("x64")
def test_attention_over_the_last_outputs(score_size: int | None) -> None:
    inner = LSTMCell(4, param_dtype="float64")
    cell = AttentionCell(inner, length=3, size=2, score_size=score_size, param_dtype="float64")
    variables, carry, inputs = example(cell, "float64")
    actual = jax.device_get(run(cell, variables, inputs, initial_carry=carry))
    p, start, xs = jax.device_get((variables["params"], carry, inputs))
    step = jit_unoptimized(inner.apply)
    for n in range(BATCH):
        state, attention, window = jax.tree.map(lambda leaf, n=n: leaf[n], tuple(start))
        for t in range(STEPS):
            x = np.append(xs[n, t], attention) @ p["input_kernel"] + p["input_bias"]
            state, y = jax.device_get(step({"params": p["inner"]}, state, x))
            query = np.append(state.cell, state.hidden) @ p["query_kernel"] + p["query_bias"]
            scores = [p["score"] @ np.tanh(w @ p["window_kernel"] + query) for w in window]
            weights = np.exp(scores) / np.exp(scores).sum()
            attention = sum(weight * w for weight, w in zip(weights, window, strict=True))
            y = np.append(y, attention) @ p["output_kernel"] + p["output_bias"]
            window = np.concat([window[1:], [y]])
            assert_close(actual.outputs[n, t], y)
        last = jax.tree.map(lambda leaf, n=n: leaf[n], tuple(actual.carry))
        assert_close(last, (state, attention, window))


@pytest.mark.parametrize("inner_type", [LSTMCell, nn.LSTMCell])
def test_learned_carry_is_where_the_cell_starts(inner_type: Any) -> None:
    inner = inner_type(4)
    cell = LearnedCarryCell(inner)
    variables, _, inputs = example(cell, "float32")
    params = dict(variables["params"])
    plain = {"params": params.pop("inner")}
    names = (
        ("initial_cell", "initial_hidden") if inner_type is LSTMCell else ("initial_0", "initial_1")
    )
    assert params.keys() == set(names)
    start = [jnp.broadcast_to(params[name], (BATCH, 4)) for name in names]
    carry = LSTMCarry(*start) if inner_type is LSTMCell else tuple(start)

    whole = run(cell, variables, inputs)
    expected = run(inner, plain, inputs, initial_carry=carry)
    assert_close((whole.outputs, whole.carry.inner), tuple(expected), 1e-6)
    assert whole.carry.started.all()
    head = run(cell, variables, inputs[:, :2])
    tail = run(cell, variables, inputs[:, 2:], initial_carry=head.carry)
    assert_close(tail.outputs, whole.outputs[:, 2:], 1e-6)

    def total(variables: Any) -> jax.Array:
        return nn.apply(unroll, cell)(variables, inputs).outputs.sum()

    gradients = jit_unoptimized(jax.grad(total))(variables)["params"]
    assert all((gradients[name] != 0).all() for name in names)
    initial = cell.init(jax.random.key(0), whole.carry, inputs[:, 0])["params"]
    assert all(np.all(initial[name] == 0) for name in names)


@pytest.mark.parametrize("name", CELLS)
def test_every_learned_carry_learns(name: str) -> None:
    cell = LearnedCarryCell(build(Case(name, {})))
    shape = (BATCH, STEPS, *INPUT_SHAPES[cell.num_feature_axes])
    inputs = jax.random.normal(jax.random.key(0), shape)

    @jit_unoptimized
    def differentiate(key: jax.Array) -> Any:
        variables = nn.init(unroll, cell)(key, inputs)
        return jax.grad(lambda v: nn.apply(unroll, cell)(v, inputs).outputs.sum())(variables)

    gradients = differentiate(jax.random.key(1))["params"]
    learned = [leaf for key, leaf in gradients.items() if key.startswith("initial_")]
    assert learned or name == "qrnn"
    assert all(np.any(leaf != 0) for leaf in learned)


WRAPPERS: dict[str, Any] = {
    "dropout": lambda inner, off: DropoutCell(inner, 0.5, 0.5, 0.5, deterministic=off),
    "variational": lambda inner, off: DropoutCell(
        inner, 0.5, 0.5, 0.5, variational=True, deterministic=off
    ),
    "zoneout": lambda inner, off: ZoneoutCell(inner, 0.5, 0.5, deterministic=off),
    "residual": lambda inner, _: ResidualCell(inner),
    "highway": lambda inner, _: HighwayCell(inner),
    "attention": lambda inner, _: AttentionCell(inner, length=2, size=6),
    "learned": lambda inner, _: LearnedCarryCell(inner),
    "stack": lambda inner, off: Stack(
        [inner, GRUCell(6)], between_keep_prob=0.5, deterministic=off
    ),
}


@pytest.mark.parametrize("names", list(itertools.product(WRAPPERS, repeat=2)), ids="-".join)
def test_every_pair_nests(names: tuple[str, str]) -> None:
    outer, inner = (WRAPPERS[name] for name in names)
    evaluated = outer(inner(LSTMCell(6), True), True)
    trained = outer(inner(LSTMCell(6), False), False)
    x = jax.random.normal(jax.random.key(0), (BATCH, STEPS, 6))
    lengths = np.array([STEPS, 3, 1])
    padded = np.where(np.arange(STEPS)[:, None] < lengths[:, None, None], x, np.nan)

    @jit_unoptimized
    def run_all(key: jax.Array) -> Any:
        variables = nn.init(unroll, evaluated)(key, x)

        def loss(variables: Any) -> jax.Array:
            streams = ("dropout", "variational_dropout")
            rngs = dict(zip(streams, jax.random.split(jax.random.key(2)), strict=True))
            result = nn.apply(unroll, trained)(
                variables, padded, lengths=lengths, reverse=True, remat=True, rngs=rngs
            )
            return jnp.sum(result.outputs**2)

        in_flax = nn.RNN(evaluated, return_carry=True)
        carry, outputs = in_flax.apply({"params": {"cell": variables["params"]}}, x)
        ours = nn.apply(unroll, evaluated)(variables, x)
        return tuple(ours), (outputs, carry), jax.value_and_grad(loss)(variables)

    ours, flaxs, (value, gradients) = run_all(jax.random.key(1))
    assert_close(ours, flaxs, 1e-6)
    assert np.isfinite(value)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        # Of two learned carries around each other, the inner one is where the cell starts.
        assert (leaf != 0).any() or names == ("learned", "learned"), path


@pytest.mark.parametrize(
    ("message", "cell"),
    [
        (r"inputs must have the shape .* \(3, 4\), got \(3, 6\)", ResidualCell(GRUCell(4))),
        (r"inputs must have the shape .* \(3, 4\), got \(3, 6\)", HighwayCell(GRUCell(4))),
        ("length must be above 0, got 0", AttentionCell(GRUCell(4), length=0, size=2)),
        ("hidden_prob must lie in", ZoneoutCell(GRUCell(4), hidden_prob=1.5)),
    ],
)
def test_errors_name_the_field(message: str, cell: nn.RNNCellBase) -> None:
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(nn.init(unroll, cell), jax.random.key(0), jnp.ones((BATCH, STEPS, 6)))
