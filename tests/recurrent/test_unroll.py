"""`unroll` and its options against a Python loop over its cell."""

import itertools
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCarry, LSTMCell
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import Unrolled, unroll
from tests.cases import (
    BATCH,
    STEPS,
    Example,
    assert_close,
    assert_equal,
    build,
    example,
    jit_unoptimized,
    label,
    run,
)
from tests.references import CASES
from tests.references.common import Case

LENGTHS = np.array([4, 0, STEPS])  # one a sequence
PADDING = np.arange(STEPS) >= LENGTHS[:, None]  # [B, T]

# Every cell, with as many options as it has a case for; and a stack, which changes carry and width
# on its way up.
EACH_CELL = {case.name: case for case in CASES}
LAYERS = [EACH_CELL["lstm"], Case("gru", {})]
MODELS = [*([case] for case in EACH_CELL.values()), LAYERS]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: "+".join(map(label, m)))


class Variant(NamedTuple):
    """A way to unroll; each value of each option meets several of the others."""

    has_lengths: bool
    reverse: bool
    time_major: bool
    return_outputs: str
    return_carry: str


VARIANTS = [
    Variant(
        has_lengths, reverse, time_major=has_lengths != reverse, return_outputs=o, return_carry=c
    )
    for has_lengths, reverse in itertools.product((False, True), repeat=2)
    for o, c in (("all", "last"), ("last", "all"))
]


def run_loop(cell: Any, given: Example, lengths: np.ndarray, reverse: bool) -> Any:
    """Returns what `unroll` should, with all carries: each sequence by itself, in Python."""
    step = jit_unoptimized(cell.apply)
    variables, initial_carry, inputs = given.variables, *jax.device_get(given[1:])
    y_shape = jax.eval_shape(cell.apply, variables, initial_carry, inputs[:, 0])[1].shape[1:]
    outputs = np.zeros((BATCH, STEPS, *y_shape))
    carries = jax.tree.map(lambda leaf: np.zeros((BATCH, STEPS, *leaf.shape[1:])), initial_carry)
    for n, length in enumerate(lengths):
        carry = jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], initial_carry)
        for t in reversed(range(STEPS)) if reverse else range(STEPS):
            if t < length:
                carry, y = step(variables, carry, inputs[n : n + 1, t])
                outputs[n, t] = y[0]
            for whole, leaf in zip(jax.tree.leaves(carries), jax.tree.leaves(carry), strict=True):
                whole[n, t] = leaf[0]
    return outputs, carries


def reduce_loop(loop: tuple[Any, Any], lengths: np.ndarray, variant: Variant) -> Any:
    """Returns the part of a loop's result that a variant asks for."""
    rows, outputs, carry = np.arange(BATCH), *loop
    # An empty sequence has no last output, and its outputs are zero at every step.
    last = 0 if variant.reverse else np.maximum(lengths - 1, 0)
    if variant.return_outputs == "last":
        outputs = outputs[rows, last]
    elif variant.time_major:
        outputs = outputs.swapaxes(0, 1)
    if variant.return_carry == "last":
        end = 0 if variant.reverse else -1
        carry = jax.tree.map(lambda leaf: leaf[:, end], carry)
    elif variant.time_major:
        carry = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), carry)
    return outputs, carry


@each_model
@pytest.mark.usefixtures("x64")
def test_equals_a_python_loop(model: list[Case]) -> None:
    cell = build(*model, param_dtype="float64")
    given = example(cell, "float64")

    @jit_unoptimized  # All variants in one program: it is compiling that takes the time.
    def run_variants(variables: Any, carry: Any, inputs: jax.Array) -> list[Unrolled]:
        return [
            nn.apply(unroll, cell)(
                variables,
                inputs.swapaxes(0, 1) if variant.time_major else inputs,
                initial_carry=carry,
                lengths=LENGTHS if variant.has_lengths else None,
                reverse=variant.reverse,
                time_major=variant.time_major,
                return_outputs=variant.return_outputs,
                return_carry=variant.return_carry,
            )
            for variant in VARIANTS
        ]

    for variant, actual in zip(VARIANTS, jax.device_get(run_variants(*given)), strict=True):
        lengths = LENGTHS if variant.has_lengths else np.full(BATCH, STEPS)
        loop = run_loop(cell, given, lengths, variant.reverse)
        expected = reduce_loop(loop, lengths, variant)
        assert_close(tuple(actual), expected, message=str(variant))


@each_model
@pytest.mark.usefixtures("x64")
def test_nothing_in_the_padding_matters(model: list[Case]) -> None:
    cell = build(*model, param_dtype="float64")
    given = example(cell, "float64")

    def loss(example: Example) -> tuple[jax.Array, Unrolled]:
        variables, carry, inputs = example
        result = nn.apply(unroll, cell)(variables, inputs, initial_carry=carry, lengths=LENGTHS)
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(result)]
        return jnp.sum(jnp.stack(squares)), result

    run_with_gradients = jit_unoptimized(jax.grad(loss, has_aux=True))

    def run_padded(padding: float) -> tuple[Example, Unrolled]:
        is_padding = PADDING.reshape(PADDING.shape + (1,) * (given.inputs.ndim - 2))
        padded = np.where(is_padding, padding, given.inputs)
        return jax.device_get(run_with_gradients(given._replace(inputs=padded)))

    gradients, result = run_padded(np.nan)
    assert_equal((gradients, result), run_padded(1.0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, result)))
    np.testing.assert_array_equal(result.outputs[PADDING], 0)
    np.testing.assert_array_equal(gradients.inputs[PADDING], 0)
    features = tuple(range(2, given.inputs.ndim))
    assert (gradients.inputs != 0).any(axis=features)[~PADDING].all()


@pytest.mark.parametrize(
    "cell_type", [nn.LSTMCell, nn.GRUCell, nn.SimpleCell, BasicRNNCell, GRUCell, LSTMCell]
)
@pytest.mark.usefixtures("x64")
def test_equals_flax_rnn(cell_type: Any) -> None:
    cell = cell_type(4, param_dtype="float64")
    variables, _, inputs = example(cell, "float64")
    lengths = np.array([4, 1, STEPS])  # flax has no empty sequences

    @jit_unoptimized
    def run_both(params: Any, inputs: jax.Array) -> tuple[Any, Any]:
        ours = nn.apply(unroll, cell)({"params": params}, inputs, lengths=lengths)
        rnn = nn.RNN(cell, return_carry=True)
        return tuple(ours), rnn.apply({"params": {"cell": params}}, inputs, seq_lengths=lengths)

    actual, (carry, outputs) = run_both(variables["params"], inputs)
    valid = np.arange(STEPS) < lengths[:, None]  # flax leaves outputs in the padding
    assert_close(actual, (np.where(valid[..., None], outputs, 0), carry))


@each_model
@pytest.mark.usefixtures("x64")
def test_goes_on_from_a_carry(model: list[Case]) -> None:
    """In pieces, and step by step as in inference, from the cell's own first carry on."""
    cell = build(*model, param_dtype="float64")
    variables, _, inputs = example(cell, "float64")
    whole = run(cell, variables, inputs)
    head = run(cell, variables, inputs[:, :3])
    tail = run(cell, variables, inputs[:, 3:], initial_carry=head.carry)
    assert_close(np.concat([head.outputs, tail.outputs], axis=1), whole.outputs)
    assert_close(tail.carry, whole.carry)

    step, outputs = jit_unoptimized(cell.apply), []
    carry = cell.initialize_carry(jax.random.key(0), inputs[:, 0].shape)
    for t in range(STEPS):
        carry, y = step(variables, carry, inputs[:, t])
        outputs.append(y)
    assert_close((np.stack(outputs, axis=1), carry), tuple(whole))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("message", "kwargs"),
    [
        (r"inputs must be \[B, T, ...\]", {"inputs": np.ones((3, 5))}),
        (r"inputs must be \[T, B, ...\]", {"inputs": np.ones(5), "time_major": True}),
        (r"lengths must be integers of shape \(3,\)", {"lengths": LENGTHS[:2]}),
        (r"lengths must be integers of shape \(3,\)", {"lengths": LENGTHS[:, None]}),
        (r"lengths must lie in \[0, 7\], got \[-1, 8\]", {"lengths": np.array([-1, 7, 8])}),
        ("initial_carry must be built like", {"initial_carry": (np.ones((3, 4)),) * 2}),
        (
            r"initial_carry.hidden must have shape \(3, 4\), got \(2, 4\)",
            {"initial_carry": LSTMCarry(jnp.ones((3, 4)), jnp.ones((2, 4)))},
        ),
        (
            r"initial_carry.hidden must be of a type like float32, got int32",
            {"initial_carry": LSTMCarry(jnp.ones((3, 4)), jnp.ones((3, 4), int))},
        ),
        ("return_outputs must be 'all' or 'last', got 'each'", {"return_outputs": "each"}),
        ("return_carry must be 'all' or 'last', got 'each'", {"return_carry": "each"}),
        ("truncate_every must be an integer of at least 1, got 0", {"truncate_every": 0}),
        ("unroll_factor must be an integer of at least 1, got -1", {"unroll_factor": -1}),
    ],
)
def test_errors_name_the_argument(message: str, kwargs: dict[str, Any]) -> None:
    cell = LSTMCell(4)
    variables, _, inputs = example(cell, "float32")
    with pytest.raises(ValueError, match=message):
        nn.apply(unroll, cell)(variables, **{"inputs": inputs} | kwargs)


def test_a_cell_without_parameters_is_told_the_right_call() -> None:
    cell, x = LSTMCell(4), jnp.ones((2, 5, 3))
    with pytest.raises(ValueError, match=r"LSTMCell has no .*: nn\.apply\(unroll, cell\)\(vari"):
        unroll(cell, x)
    with pytest.raises(ValueError, match=r"LSTMCell has no .*: cell\.apply\(variables, carry"):
        cell(cell.initialize_carry(jax.random.key(0), (2, 3)), x[:, 0])


@pytest.mark.usefixtures("unchecked")
def test_wrong_cells_are_told_the_right_one() -> None:
    wrong: Any = [LSTMCell(4), LSTMCell(4)]
    with pytest.raises(ValueError, match=r"got several; Stack\(\[\.\.\.\]\) makes one"):
        unroll(wrong, jnp.ones((2, 5, 3)))
    with pytest.raises(ValueError, match="RNNCellBase, got a str"):
        unroll(cast(Any, "lstm"), jnp.ones((2, 5, 3)))
    with pytest.raises(ValueError, match=r"one list of cells: Stack\(\[first, second\]\)"):
        Stack(LSTMCell(4), cast(Any, LSTMCell(4)))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"LSTMCell: features must be an integer .*, got '8'"):
        LSTMCell(cast(Any, "8"))
    assert LSTMCell(cast(Any, np.int64(8))).features == 8
