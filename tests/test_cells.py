"""Cells against their published equations, and what every cell promises."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import cells
from rnnjax.cells import CELLS
from rnnjax.unroll import unroll
from tests.cases import (
    BATCH,
    CASES,
    STEPS,
    Case,
    Example,
    assert_close,
    assert_equal,
    build,
    example,
    label,
)
from tests.references.cells import REFERENCES

each_case = pytest.mark.parametrize("case", CASES, ids=label)

STEP_FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "rnn": (cells.basic_rnn_step, cells.BasicRNNParams),
    "gru": (cells.gru_step, cells.GRUParams),
    "lstm": (cells.lstm_step, cells.LSTMParams),
}

# F = 5, H = 4. The options here are those that change the parameters: step functions know them by
# the parameters, and take the other options as arguments.
SHAPES = {
    "rnn": {"kernel": (9, 4), "bias": (4,)},
    "gru": {
        "gates_kernel": (9, 8),
        "gates_bias": (8,),
        "candidate_kernel": (9, 4),
        "candidate_bias": (4,),
    },
    "lstm": {"kernel": (9, 16), "bias": (16,)},
}
OPTION_SHAPES = {
    "reset_after": {"recurrent_bias": (4,)},
    "use_peepholes": {"peepholes": (3, 4)},
    "projection_size": {"kernel": (8, 16), "projection": (4, 3)},
}


def run_reference(
    case: Case, example: Example, without: str | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the last carry and all outputs `[B, T, H]` in float64, with one option left out."""
    params, carry, inputs = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64),
        (example.variables["params"], example.carry._asdict(), example.inputs),
    )
    options = {name: value for name, value in case.options.items() if name != without}
    outputs = []
    for t in range(STEPS):
        carry, y = REFERENCES[case.name](params, carry, inputs[:, t], options)
        outputs.append(y)
    return carry, np.stack(outputs, axis=1)


def test_every_cell_and_option_is_tested() -> None:
    assert CELLS.keys() == REFERENCES.keys()
    for name, cell in CELLS.items():
        fields = {field.name for field in dataclasses.fields(cell)}
        options = {f for f in fields if not f.endswith(("_init", "dtype"))}
        options -= {"features", "name", "parent"}
        assert any(case.name == name for case in CASES)
        assert options == {option for case in CASES if case.name == name for option in case.options}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
@each_case
def test_equals_the_published_equations(case: Case, dtype: str, tolerance: float) -> None:
    cell = build(case, param_dtype=dtype)
    with jax.enable_x64(dtype == "float64"):
        given = example(cell, dtype)
        step, carry, outputs = jax.jit(cell.apply), given.carry, []
        for x in np.asarray(given.inputs).swapaxes(0, 1):
            carry, y = step(given.variables, carry, x)
            outputs.append(np.asarray(y))
    expected_carry, expected = run_reference(case, given)
    assert outputs[0].dtype == dtype
    assert_close(np.stack(outputs, axis=1), expected, tolerance)
    assert_close(carry._asdict(), expected_carry, tolerance)


@each_case
def test_every_option_bites(case: Case) -> None:
    """Otherwise agreement with the reference would say nothing about the option."""
    given = example(build(case), "float32")
    carry, outputs = run_reference(case, given)
    for option in case.options.keys() - OPTION_SHAPES.keys():
        _, others = run_reference(case, given, without=option)
        assert np.abs(outputs - others).max() > 1e-2, option
    for option, clipped in (("cell_clip", "cell"), ("projection_clip", "hidden")):
        if bound := case.options.get(option):
            assert np.abs(carry[clipped]).max() == bound


@each_case
def test_step_function_equals_its_module(case: Case) -> None:
    cell = build(case)
    variables, carry, inputs = example(cell, "float32")
    function, params_type = STEP_FUNCTIONS[case.name]
    options = {name: value for name, value in case.options.items() if name not in OPTION_SHAPES}
    params = params_type(**variables["params"])
    actual = jax.jit(functools.partial(function, **options))(params, carry, inputs[:, 0])
    expected = jax.jit(cell.apply)(variables, carry, inputs[:, 0])
    assert_equal(actual, expected)


@each_case
def test_works_in_flax_rnn(case: Case) -> None:
    cell = build(case, param_dtype="float64")
    with jax.enable_x64(True):
        variables, carry, inputs = example(cell, "float64")

        @jax.jit
        def run_both(params: Any, carry: Any, inputs: jax.Array) -> tuple[Any, Any]:
            ours = nn.apply(unroll, cell)({"params": params}, inputs, initial_carry=carry)
            rnn = nn.RNN(cell, return_carry=True)
            return ours, rnn.apply({"params": {"cell": params}}, inputs, initial_carry=carry)

        (outputs, last), expected = run_both(variables["params"], carry, inputs)
    assert_close((last, outputs), expected)


@each_case
def test_parameters(case: Case) -> None:
    shapes: dict[str, tuple[int, ...]] = dict(SHAPES[case.name])
    for option in case.options:
        shapes |= OPTION_SHAPES.get(option, {})
    params = example(build(case), "float32").variables["params"]
    assert {name: leaf.shape for name, leaf in params.items()} == shapes


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.options.keys() <= OPTION_SHAPES.keys()], ids=label
)
def test_initial_values(case: Case) -> None:
    units, features = 128, 200
    wide = {"projection_size": 96} if "projection_size" in case.options else {}
    cell = build(case, features=units, **wide)
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, features))
    variables = jax.jit(cell.init)(jax.random.key(1), carry, jnp.ones((BATCH, features)))
    for leaf in carry:
        assert leaf.shape in {(BATCH, units), (BATCH, wide.get("projection_size"))}
        np.testing.assert_array_equal(leaf, 0)
    for name, leaf in variables["params"].items():
        if name.endswith("bias"):
            np.testing.assert_array_equal(leaf, 1 if name == "gates_bias" else 0)
            continue
        # Glorot uniform over the whole kernel; TF1 counts a diagonal's length as both its fans.
        fans = 2 * units if name == "peepholes" else sum(leaf.shape)
        limit = math.sqrt(6 / fans)
        assert np.abs(leaf).max() <= limit
        assert np.std(leaf) == pytest.approx(limit / math.sqrt(3), rel=0.1)


@each_case
def test_bfloat16_keeps_the_carry_and_the_parameters(case: Case) -> None:
    cell = build(case, dtype=jnp.bfloat16)
    variables, carry, inputs = example(cell, "float32")
    initial = jax.eval_shape(cell.init, jax.random.key(0), carry, inputs[:, 0])
    assert {leaf.dtype.name for leaf in jax.tree.leaves(initial)} == {"float32"}
    for dtype in ("float32", "bfloat16"):
        typed = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), carry)
        new_carry, y = jax.eval_shape(cell.apply, variables, typed, inputs[:, 0])
        assert y.dtype == jnp.bfloat16
        assert {leaf.dtype.name for leaf in new_carry} == {dtype}
    # The state that adds up over time is not rounded to bfloat16 on its way.
    memory = cell.apply(variables, carry, inputs[:, 0])[0][0]
    assert (memory != memory.astype("bfloat16").astype("float32")).any()


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(CELLS, 2)))
def test_carry_is_a_named_tuple_of_its_own(name: str, other: str) -> None:
    cell = build(Case(name, {}))
    variables, carry, inputs = example(cell, "float32")
    foreign = example(build(Case(other, {})), "float32").carry
    assert carry._fields
    assert isinstance(carry, tuple)
    assert type(carry).__name__ == type(cell).__name__.replace("Cell", "Carry")
    for wrong in (foreign, tuple(carry), {}):
        with pytest.raises(ValueError, match=f"must be a {type(carry).__name__}, got a"):
            cell.apply(variables, wrong, inputs[:, 0])


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "features") for name in CELLS),
        ("lstm", "projection_size"),
        ("lstm", "cell_clip"),
        ("lstm", "projection_clip"),
    ],
)
def test_sizes_and_bounds_must_be_positive(name: str, option: str) -> None:
    cell = build(Case(name, {option: 0}))
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, 5))
    with pytest.raises(ValueError, match=f"{option} must be above 0, got 0"):
        cell.init(jax.random.key(0), carry, jnp.ones((BATCH, 5)))
