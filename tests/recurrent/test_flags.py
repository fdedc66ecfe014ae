"""Masks and resets against a loop in Python that takes each example by itself."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS, DropoutCell, GRUCell, LearnedCarryCell, LSTMCell
from rnnjax.cells.wrappers.learned_carry import LearnedCarry
from rnnjax.recurrent.bidirectional import Bidirectional
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import BATCH, STEPS, Example, assert_close, build, example, jit_unoptimized
from tests.references.common import Case

MASK = np.array([[1, 1, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0]], bool)
RESETS = np.array([[1, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0, 0]], bool)
LENGTHS = np.array([6, STEPS, STEPS], np.int32)
OPTIONS: dict[str, dict[str, Any]] = {
    "mask": {"mask": MASK},
    "resets": {"resets": RESETS},
    "all": {"mask": MASK, "resets": RESETS, "lengths": LENGTHS},
}
WAYS_TO_RUN: dict[str, dict[str, Any]] = {
    "auto": {},
    "scan": {"implementation": "scan"},
    "remat": {"remat": True},
    "chunks": {"truncate_every": STEPS},
    "unrolled": {"unroll_factor": 2},
}


def in_a_loop(
    cell: Any, given: Example, reverse: bool, *, truncate_every: int = STEPS, **options: Any
) -> Any:
    """Returns the outputs `[B, T, H]`, all carries, and the last output and carry of each."""
    step = jax.jit(cell.apply)
    mask = options.get("mask", np.ones((BATCH, STEPS), bool)).copy()
    mask &= np.arange(STEPS) < options.get("lengths", np.full(BATCH, STEPS))[:, None]
    resets = options.get("resets", np.zeros((BATCH, STEPS), bool))
    examples = []
    for n in range(BATCH):
        start = jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], given.carry)
        shape = jax.eval_shape(cell.apply, given.variables, start, given.inputs[n : n + 1, 0])[1]
        carry, is_reset, last, chunk = start, False, jnp.zeros(shape.shape), None
        outputs, carries = [last] * STEPS, [start] * STEPS
        for t in reversed(range(STEPS)) if reverse else range(STEPS):
            is_reset |= not reverse and resets[n, t]
            if mask[n, t]:
                if chunk not in (None, t // truncate_every):
                    carry = jax.lax.stop_gradient(carry)
                before, chunk = start if is_reset else carry, t // truncate_every
                carry, last = step(given.variables, before, given.inputs[n : n + 1, t])
                outputs[t], is_reset = last, False
            carries[t] = carry
            is_reset |= reverse and resets[n, t]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *carries)
        examples.append((jnp.stack(outputs, 1), stacked, last, carry))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *examples)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["lstm", "gru", "conv_lstm_1d", "stack"])
@pytest.mark.usefixtures("x64")
def test_equals_a_loop(name: str, options: dict[str, Any], reverse: bool) -> None:
    layers = [Case("lstm", {}), Case("gru", {"reset_after": True})]
    cell = build(*(layers if name == "stack" else [Case(name, {})]), param_dtype="float64")
    given = example(cell, "float64")
    outputs, carries, last, carry = in_a_loop(cell, given, reverse, **options)

    @jit_unoptimized
    def run(variables: Any, carry: Any, inputs: jax.Array) -> Any:
        run = nn.apply(unroll, cell)
        options_here = {"initial_carry": carry, "reverse": reverse, **options}
        every = run(variables, inputs, return_carry="all", **options_here)
        return every, [
            run(variables, inputs, return_outputs="last", **options_here, **way)
            for way in WAYS_TO_RUN.values()
        ]

    every, ends = run(*given)
    assert_close(tuple(every), (outputs, carries))
    for end in ends:
        assert_close(tuple(end), (last, carry))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.usefixtures("x64")
def test_gradients_are_those_of_the_scan(name: str, reverse: bool) -> None:
    cell = build(Case(name, {"reset_after": True} if name == "gru" else {}), param_dtype="float64")
    given = example(cell, "float64")

    def loss(variables: Any, carry: Any, inputs: jax.Array, **way: Any) -> jax.Array:
        unrolled = nn.apply(unroll, cell)(
            variables, inputs, initial_carry=carry, reverse=reverse, **OPTIONS["all"], **way
        )
        return sum((jnp.sin(leaf).sum() for leaf in jax.tree.leaves(unrolled)), jnp.zeros(()))

    def derive(**way: Any) -> Any:
        return jax.grad(lambda *a: loss(*a, **way), (0, 1, 2))(*given)

    ways = ({"implementation": "scan"}, {"implementation": "deferred"}, {"remat": True})
    expected, *others = jit_unoptimized(lambda: [derive(**way) for way in ways])()
    for actual in others:
        assert_close(actual, expected, 1e-11)
    counted = np.asarray(MASK) & (np.arange(STEPS) < LENGTHS[:, None])
    np.testing.assert_array_equal(np.any(expected[2] != 0, axis=-1), counted)


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("x64")
def test_truncation_cuts_what_comes_from_the_chunk_before(
    options: dict[str, Any], reverse: bool, remat: bool
) -> None:
    """Neither what a sequence starts from, nor the last carry of one that ends earlier."""
    cell = LearnedCarryCell(LSTMCell(4, param_dtype="float64"))
    given = example(cell, "float64")
    started = jnp.array([True, False, True])
    if "resets" in options:
        options = {**options, "resets": RESETS | (np.arange(STEPS) == 3)}

    def loss(variables: Any, inner: Any, run: Any) -> jax.Array:
        results = run(variables, LearnedCarry(inner, started))
        leaves = [leaf for leaf in jax.tree.leaves(results) if leaf.dtype != bool]
        return sum((jnp.sin(leaf).sum() for leaf in leaves), jnp.zeros(()))

    def in_chunks(variables: Any, carry: Any) -> Any:
        unrolled = nn.apply(unroll, cell)(
            variables,
            given.inputs,
            initial_carry=carry,
            reverse=reverse,
            truncate_every=3,
            remat=remat,
            **options,
        )
        return tuple(unrolled)

    def in_steps(variables: Any, carry: Any) -> Any:
        again = Example(variables, carry, given.inputs)
        outputs, _, _, last = in_a_loop(cell, again, reverse, truncate_every=3, **options)
        return outputs, last

    derive = jit_unoptimized(jax.grad(loss, (0, 1)), static_argnums=2)
    at = (given.variables, given.carry.inner)
    assert_close(derive(*at, in_chunks), derive(*at, in_steps))


@pytest.mark.usefixtures("x64")
def test_sequences_in_a_row_are_as_those_apart() -> None:
    """Both directions, packed: each sequence has what it has by itself."""
    model = Bidirectional(LSTMCell(4, param_dtype="float64"), GRUCell(3, param_dtype="float64"))
    inputs = jax.random.normal(jax.random.key(0), (1, 7, 5), jnp.float64)
    variables = model.init(jax.random.key(1), inputs)
    resets = np.array([[True, False, False, True, True, False, False]])
    packed = model.apply(variables, inputs, resets=resets)
    ends = [model.apply(variables, inputs[:, a:b]) for a, b in ((0, 3), (3, 4), (4, 7))]
    outputs: Any = [end.outputs for end in ends]  # pyright: ignore[reportAttributeAccessIssue]
    assert_close(packed.outputs, np.concatenate(outputs, axis=1))  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_starts_again(name: str) -> None:
    """A reset at each step: each is the first one."""
    cell = build(Case(name, {}))
    given = example(cell, "float32")
    run: Any = nn.apply(unroll, cell)

    @jit_unoptimized
    def both(variables: Any, carry: Any, inputs: jax.Array) -> Any:
        resets = jnp.ones(inputs.shape[:2], bool)
        every = run(variables, inputs, initial_carry=carry, resets=resets)

        def first(x: jax.Array) -> jax.Array:
            return run(variables, x[:, None], initial_carry=carry).outputs[:, 0]

        return every.outputs, jax.vmap(first, 1, 1)(inputs)

    actual, expected = both(*given)
    assert_close(actual, expected, 1e-5)


def test_time_major_flags_lead_with_the_time() -> None:
    cell = LSTMCell(4)
    x = jnp.ones((BATCH, STEPS, 5))
    variables = nn.init(unroll, cell)(jax.random.key(0), x)
    run = nn.apply(unroll, cell)
    expected = run(variables, x, mask=MASK, resets=RESETS).outputs
    actual = run(variables, x.swapaxes(0, 1), mask=MASK.T, resets=RESETS.T, time_major=True)
    assert_close(actual.outputs.swapaxes(0, 1), expected, 1e-6)


@pytest.mark.parametrize("name", ["mask", "resets"])
@pytest.mark.usefixtures("unchecked")
def test_flags_that_do_not_fit(name: str) -> None:
    cell, x = LSTMCell(4), jnp.ones((BATCH, STEPS, 5))
    for wrong in (MASK[:, 1:], MASK.astype(np.int32), MASK[0], MASK.T):
        with pytest.raises(ValueError, match=rf"{name} must be bool of shape \(3, 7\), got"):
            nn.init(unroll, cell)(jax.random.key(0), x, **{name: wrong})


@pytest.mark.parametrize(
    ("implementation", "options", "reason"),
    [
        ("fused", {"resets": RESETS}, "no kernel has resets"),
        ("cudnn", {"resets": RESETS}, "no kernel has resets"),
        ("cudnn", {"mask": MASK}, "lengths, but no mask"),
    ],
)
def test_what_a_kernel_has_not(implementation: Any, options: dict[str, Any], reason: str) -> None:
    cell, x = LSTMCell(16), jnp.ones((BATCH, STEPS, 5))
    with pytest.raises(ValueError, match=f"'{implementation}' cannot be had.*{reason}"):
        nn.init(unroll, cell)(jax.random.key(0), x, implementation=implementation, **options)


def test_dropout_and_wrappers_take_flags() -> None:
    cell = Stack([DropoutCell(LSTMCell(4), output_keep_prob=0.5), GRUCell(3)])
    x = jnp.ones((BATCH, STEPS, 5))
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = nn.init(unroll, cell)(keys, x)
    outputs = nn.apply(unroll, cell)(
        variables, x, mask=MASK, rngs={"dropout": jax.random.key(2)}
    ).outputs
    np.testing.assert_array_equal(np.any(outputs != 0, axis=-1) & ~MASK, False)
