"""`unroll` against a Python loop over its cell; stacks and dropout, which only show over time."""

import itertools
from collections.abc import Iterator
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import BasicRNNCell, DropoutCell, GRUCell, LSTMCell
from rnnjax.stack import Stack
from rnnjax.unroll import Unrolled, unroll
from tests.cases import (
    BATCH,
    STEPS,
    Example,
    assert_close,
    assert_equal,
    build,
    example,
    label,
)
from tests.references import CASES
from tests.references.common import Case

LENGTHS = np.array([4, 0, STEPS])  # one a sequence
PADDING = np.arange(STEPS) >= LENGTHS[:, None]  # [B, T]

# The layers of each model; the stack changes carry and width on its way up.
MODELS = [*([case] for case in CASES), [Case("lstm", {"projection_size": 3}), Case("gru", {})]]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: "+".join(map(label, m)))


@pytest.fixture
def _x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def run(cell: nn.RNNCellBase, *args: Any, **kwargs: Any) -> Unrolled:
    return jax.jit(nn.apply(unroll, cell))(*args, **kwargs)


def run_loop(cell: Any, given: Example, lengths: np.ndarray) -> tuple[np.ndarray, Any]:
    """Returns what `unroll` should: each sequence by itself, and no further than its length."""
    variables, initial_carry, inputs = given.variables, *jax.device_get(given[1:])
    width = jax.eval_shape(cell.apply, variables, initial_carry, inputs[:, 0])[1].shape[1:]
    outputs, carries = np.zeros((BATCH, STEPS, *width)), []
    for n, length in enumerate(lengths):
        carry = jax.tree.map(lambda leaf, n=n: jnp.asarray(leaf[n : n + 1]), initial_carry)
        for t in range(length):
            carry, y = cell.apply(variables, carry, jnp.asarray(inputs[n : n + 1, t]))
            outputs[n, t] = y[0]
        carries.append(carry)
    return outputs, jax.tree.map(lambda *leaves: np.concat(leaves), *carries)


@each_model
@pytest.mark.usefixtures("_x64")
def test_equals_a_python_loop(model: list[Case]) -> None:
    cell = build(*model, param_dtype="float64")
    given = example(cell, "float64", model[0].inputs)
    variants = list(itertools.product(("full", "lengths"), (False, True), ("all", "last")))

    @jax.jit  # All variants in one program: it is compiling that takes the time.
    def run_variants(variables: Any, carry: Any, inputs: jax.Array) -> list[Unrolled]:
        return [
            nn.apply(unroll, cell)(
                variables,
                inputs.swapaxes(0, 1) if time_major else inputs,
                initial_carry=carry,
                lengths=LENGTHS if extent == "lengths" else None,
                time_major=time_major,
                return_outputs=return_outputs,
            )
            for extent, time_major, return_outputs in variants
        ]

    lengths = {"full": np.full(BATCH, STEPS), "lengths": LENGTHS}
    loops = {extent: run_loop(cell, given, lengths[extent]) for extent in lengths}
    for variant, actual in zip(variants, jax.device_get(run_variants(*given)), strict=True):
        extent, time_major, return_outputs = variant
        outputs, carry = loops[extent]
        if return_outputs == "last":
            # An empty sequence has no output at -1 either: all of its steps are zero.
            outputs = outputs[np.arange(BATCH), lengths[extent] - 1]
            np.testing.assert_array_equal(actual.outputs[lengths[extent] == 0], 0)
        elif time_major:
            outputs = outputs.swapaxes(0, 1)
        assert_close(tuple(actual), (outputs, carry), message=str(variant))


@each_model
@pytest.mark.usefixtures("_x64")
def test_nothing_in_the_padding_matters(model: list[Case]) -> None:
    cell = build(*model, param_dtype="float64")
    given = example(cell, "float64", model[0].inputs)

    def loss(example: Example) -> tuple[jax.Array, Unrolled]:
        variables, carry, inputs = example
        result = nn.apply(unroll, cell)(variables, inputs, initial_carry=carry, lengths=LENGTHS)
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(result)]
        return jnp.sum(jnp.stack(squares)), result

    run_with_gradients = jax.jit(jax.grad(loss, has_aux=True))

    mask = PADDING.reshape(BATCH, STEPS, *(1 for _ in given.inputs.shape[2:]))

    def run_padded(padding: float) -> tuple[Example, Unrolled]:
        padded = np.where(mask, padding, given.inputs)
        return jax.device_get(run_with_gradients(given._replace(inputs=padded)))

    gradients, result = run_padded(np.nan)
    assert_equal((gradients, result), run_padded(1.0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, result)))
    np.testing.assert_array_equal(result.outputs[PADDING], 0)
    np.testing.assert_array_equal(gradients.inputs[PADDING], 0)
    assert (gradients.inputs[~PADDING] != 0).any(axis=-1).all()


@pytest.mark.parametrize(
    "cell_type", [nn.LSTMCell, nn.GRUCell, nn.SimpleCell, BasicRNNCell, GRUCell, LSTMCell]
)
@pytest.mark.usefixtures("_x64")
def test_equals_flax_rnn(cell_type: Any) -> None:
    cell = cell_type(4, param_dtype="float64")
    variables, _, inputs = example(cell, "float64")
    lengths = np.array([4, 1, STEPS])  # flax has no empty sequences

    @jax.jit
    def run_both(params: Any, inputs: jax.Array) -> tuple[Any, Any]:
        ours = nn.apply(unroll, cell)({"params": params}, inputs, lengths=lengths)
        rnn = nn.RNN(cell, return_carry=True)
        return tuple(ours), rnn.apply({"params": {"cell": params}}, inputs, seq_lengths=lengths)

    actual, (carry, outputs) = run_both(variables["params"], inputs)
    valid = np.arange(STEPS) < lengths[:, None]  # flax leaves outputs in the padding
    assert_close(actual, (np.where(valid[..., None], outputs, 0), carry))


@pytest.mark.usefixtures("_x64")
def test_stack_equals_one_layer_after_the_other() -> None:
    stack = build(*MODELS[-1], param_dtype="float64")
    variables, carry, outputs = example(stack, "float64")
    actual = run(stack, variables, outputs, initial_carry=carry, lengths=LENGTHS)
    carries = []
    for n, case in enumerate(MODELS[-1]):
        params = {"params": variables["params"][f"cells_{n}"]}
        cell = build(case, param_dtype="float64")
        outputs, last = run(cell, params, outputs, initial_carry=carry[n], lengths=LENGTHS)
        carries.append(last)
    assert_close(actual, Unrolled(outputs, tuple(carries)))


@pytest.mark.parametrize(
    ("message", "kwargs"),
    [
        (r"inputs must be \[B, T, ...\]", {"inputs": np.ones((3, 5))}),
        (r"inputs must be \[T, B, ...\]", {"inputs": np.ones(5), "time_major": True}),
        (r"lengths must be integers of shape \(3,\)", {"lengths": LENGTHS[:2]}),
        (r"lengths must be integers of shape \(3,\)", {"lengths": LENGTHS[:, None]}),
        ("initial_carry must lead with B=3", {"initial_carry": (np.ones((2, 4)),) * 2}),
    ],
)
def test_errors_name_the_argument(message: str, kwargs: dict[str, Any]) -> None:
    cell = LSTMCell(4)
    variables, _, inputs = example(cell, "float32")
    with pytest.raises(ValueError, match=message):
        nn.apply(unroll, cell)(variables, **{"inputs": inputs} | kwargs)


# Dropout. Keeping a quarter, by one mask or by two of a half, makes what is kept exactly four times
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


@pytest.mark.parametrize("cell_type", [LSTMCell, GRUCell])
@pytest.mark.parametrize("part", ["output", "state"])
def test_dropout_spares_the_memory(cell_type: Any, part: str) -> None:
    inner = cell_type(400)
    variables, carry, inputs = example(inner, "float32")
    keep_prob: dict[str, Any] = {f"{part}_keep_prob": KEPT}
    cell = DropoutCell(inner, **keep_prob)
    params, rngs = {"params": {"inner": variables["params"]}}, {"dropout": jax.random.key(0)}
    new_carry, y = jax.jit(cell.apply)(params, carry, inputs[:, 0], rngs=rngs)
    plain_carry, plain_y = jax.jit(inner.apply)(variables, carry, inputs[:, 0])
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
