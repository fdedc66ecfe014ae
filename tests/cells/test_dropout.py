"""Dropout and zoneout: rates, scales, what they spare, and masks over time."""

from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import (
    BasicRNNCell,
    DropoutCell,
    GRUCell,
    LSTMCarry,
    LSTMCell,
    PhasedLSTMCell,
    SLSTMCell,
    SRUCell,
    ZoneoutCell,
)
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import BATCH, STEPS, assert_close, assert_equal, example, jit_unoptimized, run

# Keeping a quarter, by one mask or by two of a half, makes what is kept exactly four times
# as large; mistaking kept for dropped, or the two masks being one, shows in the share.
KEPT, SCALE = 0.25, 4.0
IDENTITY = {"inner": {"kernel": np.eye(128, 64, dtype="f4"), "bias": np.zeros(64, "f4")}}


def identity(**keep_probs: Any) -> nn.RNNCellBase:
    """A cell whose outputs are its inputs, so that all that happens to them is dropout."""
    return DropoutCell(BasicRNNCell(64, activation=lambda x: x), **keep_probs)


def assert_dropped(actual: jax.Array, x: jax.Array) -> None:
    kept = np.asarray(actual != 0)
    four_errors = 4 * np.sqrt(KEPT * (1 - KEPT) / kept.size)
    assert np.mean(kept) == pytest.approx(KEPT, abs=four_errors)
    np.testing.assert_array_equal(actual, np.where(kept, SCALE * x, 0))


@pytest.mark.parametrize(
    "cell",
    [
        identity(input_keep_prob=0.25),
        identity(output_keep_prob=0.25),
        identity(input_keep_prob=0.5, output_keep_prob=0.5),
        Stack([identity(output_keep_prob=0.5), identity(output_keep_prob=0.5)]),
    ],
    ids=["input", "output", "both", "stack"],
)
def test_dropout_has_new_masks_at_each_step(cell: nn.RNNCellBase) -> None:
    stacked = {"cells_0": IDENTITY, "cells_1": IDENTITY}
    params = stacked if isinstance(cell, Stack) else IDENTITY
    x = jax.random.normal(jax.random.key(0), (8, STEPS, 64))
    y = run(cell, {"params": params}, x, rngs={"dropout": jax.random.key(1)}).outputs
    assert_dropped(y, x)
    # No two masks are alike, whether of two steps or of two examples.
    assert len(np.unique(y.reshape(-1, 64) != 0, axis=0)) == 8 * STEPS


@pytest.mark.parametrize("cell_type", [LSTMCell, GRUCell, SLSTMCell, PhasedLSTMCell])
@pytest.mark.parametrize("part", ["output", "state"])
def test_dropout_spares_the_memory(cell_type: Any, part: str) -> None:
    inner = cell_type(400)
    variables, carry, inputs = example(inner, "float32")
    keep_prob: dict[str, Any] = {f"{part}_keep_prob": KEPT}
    cell = DropoutCell(inner, **keep_prob)
    params, rngs = {"params": {"inner": variables["params"]}}, {"dropout": jax.random.key(0)}
    new_carry, y = jit_unoptimized(cell.apply)(params, carry, inputs[:, 0], rngs=rngs)
    plain_carry, plain_y = jit_unoptimized(inner.apply)(variables, carry, inputs[:, 0])
    if part == "output":
        assert_dropped(y, plain_y)
        assert_equal(new_carry, plain_carry)
    else:
        assert_dropped(new_carry.hidden, plain_carry.hidden)
        assert_equal(new_carry._replace(hidden=y), plain_carry._replace(hidden=plain_y))


@pytest.mark.parametrize("fields", [{}, {"input_keep_prob": 0.5, "deterministic": True}])
def test_no_dropout_is_the_identity(fields: dict[str, Any]) -> None:
    inner = LSTMCell(4)
    variables, carry, inputs = example(inner, "float32")
    params = {"params": {"inner": variables["params"]}}
    actual = run(DropoutCell(inner, **fields), params, inputs, initial_carry=carry)
    assert_equal(actual, run(inner, variables, inputs, initial_carry=carry))


@pytest.mark.parametrize("keep_prob", [0.0, 1.5, float("nan")])
@pytest.mark.parametrize("part", ["input", "output", "state"])
def test_keep_probability_out_of_range(part: str, keep_prob: float) -> None:
    cell = identity(**{f"{part}_keep_prob": keep_prob})
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        jax.eval_shape(nn.init(unroll, cell), jax.random.key(0), jnp.ones((BATCH, STEPS, 64)))


def test_dropout_needs_a_random_stream() -> None:
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        run(identity(input_keep_prob=0.5), {"params": IDENTITY}, jnp.ones((BATCH, STEPS, 64)))


@pytest.mark.parametrize("cell_type", [LSTMCell, GRUCell])
def test_variational_masks_are_equal_over_time(cell_type: Any) -> None:
    cell = DropoutCell(
        cell_type(64), KEPT, output_keep_prob=KEPT, state_keep_prob=0.5, variational=True
    )
    variables, _, inputs = example(cell, "float32")
    # Weights so small that no gate shuts: what is 0 then has been dropped.
    variables = jax.tree.map(lambda leaf: 0.1 * leaf, variables)

    def masks(key: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns which outputs and which hidden units are kept, `[B, T, H]`."""
        result = nn.apply(unroll, cell)(
            variables,
            inputs,
            return_carry="all",
            rngs={"variational_dropout": jax.random.key(key)},
        )
        return np.asarray(result.outputs != 0), np.asarray(result.carry.hidden != 0)

    kept_outputs, kept_hidden = masks(0)
    for kept, keep_prob in ((kept_outputs, KEPT), (kept_hidden, 0.5)):
        np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))
        assert kept.mean() == pytest.approx(keep_prob, abs=0.15)  # four errors of 192 units
        assert len(np.unique(kept[:, 0], axis=0)) == BATCH
    assert (kept_outputs != kept_hidden).any()
    assert (kept_outputs != masks(1)[0]).any()


def test_variational_input_masks_are_equal_over_time() -> None:
    x = jax.random.normal(jax.random.key(0), (400, STEPS, 64))
    rngs = {"variational_dropout": jax.random.key(1)}
    y = run(identity(input_keep_prob=KEPT, variational=True), {"params": IDENTITY}, x, rngs=rngs)
    assert_dropped(y.outputs[:, 0], x[:, 0])
    kept = np.asarray(y.outputs != 0)
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))


def test_no_hidden_state_to_drop() -> None:
    cell = DropoutCell(SRUCell(4), state_keep_prob=0.5)
    with pytest.raises(ValueError, match="finds no hidden state to drop in a SRUCarry"):
        jax.eval_shape(nn.init(unroll, cell), jax.random.key(0), jnp.ones((BATCH, STEPS, 6)))


def test_zoneout_keeps_units_as_they_were() -> None:
    inner = LSTMCell(4000)
    variables, carry, inputs = example(inner, "float32")
    # Weights so small that no gate shuts: what has not changed then has been kept.
    variables = jax.tree.map(lambda leaf: 0.01 * leaf, variables)
    params = {"params": {"inner": variables["params"]}}
    cell = ZoneoutCell(inner, hidden_prob=0.25, cell_prob=0.5)
    actual, y = cell.apply(params, carry, inputs[:, 0], rngs={"dropout": jax.random.key(0)})
    plain, _ = inner.apply(variables, carry, inputs[:, 0])
    for name, prob in (("hidden", 0.25), ("cell", 0.5)):
        old, new, got = (np.asarray(getattr(c, name)) for c in (carry, plain, actual))
        kept = got == old
        np.testing.assert_array_equal(got, np.where(kept, old, new))
        assert np.mean(kept) == pytest.approx(prob, abs=4 * np.sqrt(prob * (1 - prob) / kept.size))
    np.testing.assert_array_equal(y, actual.hidden)


@pytest.mark.parametrize("cell_type", [LSTMCell, nn.GRUCell])
def test_zoneout_takes_the_expectation_in_evaluation(cell_type: Any) -> None:
    inner = cell_type(4)
    variables, carry, inputs = example(inner, "float32")
    params = {"params": {"inner": variables["params"]}}
    cell_prob = 0.5 if cell_type is LSTMCell else 0.0  # a GRU has no memory beside its state
    cell = ZoneoutCell(inner, hidden_prob=0.25, cell_prob=cell_prob, deterministic=True)
    actual, _ = cell.apply(params, carry, inputs[:, 0])
    plain, _ = inner.apply(variables, carry, inputs[:, 0])
    if cell_type is LSTMCell:
        expected = LSTMCarry(
            cell=0.5 * carry.cell + 0.5 * plain.cell,
            hidden=0.25 * carry.hidden + 0.75 * plain.hidden,
        )
    else:
        expected = 0.25 * carry + 0.75 * plain
    assert_close(actual, expected, 1e-6)


def test_zoneout_in_evaluation_is_the_mean_over_training() -> None:
    inner = LSTMCell(4)
    variables, carry, inputs = example(inner, "float32")
    params = {"params": {"inner": variables["params"]}}
    carry, x = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], 20_000, 0), (carry, inputs[:, 0]))
    options: dict[str, Any] = {"hidden_prob": 0.25, "cell_prob": 0.5}
    expected, _ = ZoneoutCell(inner, **options, deterministic=True).apply(params, carry, x)
    sampled, _ = ZoneoutCell(inner, **options).apply(
        params, carry, x, rngs={"dropout": jax.random.key(0)}
    )
    means = jax.tree.map(lambda leaf: leaf.mean(0), sampled)
    assert_close(means, jax.tree.map(lambda leaf: leaf[0], expected), 0.05)


@pytest.mark.parametrize(
    ("message", "inner", "options"),
    [
        ("hidden_prob must be 0 .* SRUCarry", SRUCell(4), {"hidden_prob": 0.1}),
        ("cell_prob must be 0 .* SLSTMCarry", SLSTMCell(4), {"cell_prob": 0.1}),
        ("cell_prob must be 0 .* GRUCarry", GRUCell(4), {"cell_prob": 0.1}),
    ],
)
def test_zoneout_of_what_is_not_there(message: str, inner: Any, options: dict[str, Any]) -> None:
    cell = ZoneoutCell(inner, **options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(nn.init(unroll, cell), jax.random.key(0), jnp.ones((BATCH, STEPS, 6)))
