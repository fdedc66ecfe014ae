"""Cells against their published equations, and what every cell promises."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rnnjax.cells import CELLS
from rnnjax.unroll import unroll
from tests.cases import (
    BATCH,
    INPUT_SHAPES,
    STEPS,
    Example,
    assert_close,
    assert_equal,
    build,
    example,
    label,
)
from tests.references import CASES, REFERENCES
from tests.references.common import Case

each_case = pytest.mark.parametrize("case", CASES, ids=label)

GOLDEN = Path(__file__).parent / "golden" / "parameters.json"


def run_reference(
    case: Case, example: Example, without: str | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the last carry and all outputs `[B, T, H]` in float64, with one option left out."""
    params, initial_carry, inputs = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64),
        (example.variables["params"], example.carry._asdict(), example.inputs),
    )
    options = {name: value for name, value in case.options.items() if name != without}
    carries, outputs = [], []
    for n in range(BATCH):
        carry = {name: leaf[n] for name, leaf in initial_carry.items()}
        outputs.append([])
        for t in range(STEPS):
            carry, y = REFERENCES[case.name](params, carry, inputs[n, t], options)
            outputs[-1].append(y)
        carries.append(carry)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *carries), np.array(outputs)


def shapes(case: Case, without: str | None = None) -> Any:
    """Returns the shapes of a case's parameters and carry, with one option left out."""
    cell = build(Case(case.name, {k: v for k, v in case.options.items() if k != without}))
    given = jax.eval_shape(lambda: example(cell, "float32", case.inputs))
    return jax.tree.map(jnp.shape, (given.variables["params"], given.carry._asdict()))


def test_every_cell_and_option_is_tested() -> None:
    assert CELLS.keys() == REFERENCES.keys()
    for name, cell in CELLS.items():
        fields = {field.name for field in dataclasses.fields(cell)}
        options = {f for f in fields if not f.endswith(("_init", "dtype"))}
        options -= {"features", "name", "parent"}
        tested = {option for case in CASES if case.name == name for option in case.options}
        assert any(case.name == name for case in CASES)
        assert options == tested - {"features"}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@each_case
def test_equals_the_published_equations(case: Case, dtype: str, tolerance: float) -> None:
    cell = build(case, param_dtype=dtype)
    with jax.enable_x64(dtype == "float64"):
        given = example(cell, dtype, case.inputs)
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
    given = example(build(case), "float32", case.inputs)
    carry, outputs = run_reference(case, given)
    for option in case.options:
        if shapes(case) != shapes(case, without=option):
            continue  # It shows in the shapes.
        _, others = run_reference(case, given, without=option)
        assert np.abs(outputs - others).max() > 1e-2, option
    for option, clipped in (("cell_clip", "cell"), ("projection_clip", "hidden")):
        if bound := case.options.get(option):
            assert np.abs(carry[clipped]).max() == bound


@each_case
def test_step_is_a_pure_function(case: Case) -> None:
    cell = build(case)
    variables, carry, inputs = example(cell, "float32", case.inputs)
    names = nn.apply(lambda cell: cell.parameters(inputs.shape[-1]), cell)(variables)._fields
    params = type(nn.apply(lambda cell: cell.parameters(inputs.shape[-1]), cell)(variables))(
        **{name: variables["params"].get(name) for name in names}
    )
    actual = jax.jit(cell.step)(params, carry, inputs[:, 0])
    expected = jax.jit(cell.apply)(variables, carry, inputs[:, 0])
    assert_equal(actual, expected)


@each_case
def test_gradients(case: Case) -> None:
    cell = build(case, param_dtype="float64")
    with jax.enable_x64(True):
        variables, carry, inputs = example(cell, "float64", case.inputs)

        @jax.jit
        def run(params: Any, carry: Any, inputs: jax.Array) -> Any:
            return nn.apply(unroll, cell)(params, inputs, initial_carry=carry)

        check_grads(run, (variables, carry, inputs[:, :3]), order=1, modes=("rev",), eps=1e-5)


@each_case
def test_works_in_flax_rnn(case: Case) -> None:
    cell = build(case, param_dtype="float64")
    with jax.enable_x64(True):
        variables, carry, inputs = example(cell, "float64", case.inputs)

        @jax.jit
        def run_both(params: Any, carry: Any, inputs: jax.Array) -> tuple[Any, Any]:
            ours = nn.apply(unroll, cell)({"params": params}, inputs, initial_carry=carry)
            rnn = nn.RNN(cell, return_carry=True)
            return ours, rnn.apply({"params": {"cell": params}}, inputs, initial_carry=carry)

        (outputs, last), expected = run_both(variables["params"], carry, inputs)
    assert_close((last, outputs), expected)


def test_parameters_keep_their_names_and_shapes() -> None:
    """Stored weights depend on them. To take on a change: `python -m tests.test_cells`."""
    assert json.loads(GOLDEN.read_text()) == parameter_shapes()


def parameter_shapes() -> dict[str, dict[str, list[int]]]:
    """Returns {case: {parameter: shape}}."""
    return {
        label(case): {name: list(shape) for name, shape in sorted(shapes(case)[0].items())}
        for case in CASES
    }


STARTS_AT_ONE = {("gru", "gates_bias"), ("minimal_rnn", "bias"), ("cfn", "bias")}


@pytest.mark.parametrize(
    "case",
    [
        Case("rnn", {}),
        Case("gru", {"reset_after": True}),
        Case("lstm", {"use_peepholes": True, "projection_size": 3}),
        Case("mgu", {"reset_after": True}),
        Case("ugrnn", {}),
        Case("intersection_rnn", {}),
        Case("nas", {"use_bias": True, "projection_size": 3}),
        Case("minimal_rnn", {}),
        Case("cfn", {}),
    ],
    ids=label,
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
            np.testing.assert_array_equal(leaf, (case.name, name) in STARTS_AT_ONE)
            continue
        # Glorot uniform over the whole kernel; TF1 counts a diagonal's length as both its fans.
        fans = 2 * units if name == "peepholes" else sum(leaf.shape)
        limit = math.sqrt(6 / fans)
        assert np.abs(leaf).max() <= limit
        assert np.std(leaf) == pytest.approx(limit / math.sqrt(3), rel=0.1)


@each_case
def test_bfloat16_keeps_the_carry_and_the_parameters(case: Case) -> None:
    cell = build(case, dtype=jnp.bfloat16)
    variables, carry, inputs = example(cell, "float32", case.inputs)
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
        ("nas", "projection_size"),
        ("glstm", "num_groups"),
        ("glstm", "projection_size"),
        ("grid_lstm", "feature_size"),
        ("grid_lstm", "frequency_skip"),
    ],
)
def test_sizes_and_bounds_must_be_positive(name: str, option: str) -> None:
    cell = build(Case(name, {option: 0}))
    inputs = jnp.ones((BATCH, STEPS, *INPUT_SHAPES[cell.num_feature_axes]))
    with pytest.raises(ValueError, match=f"{option} must be above 0, got 0"):
        nn.init(unroll, cell)(jax.random.key(0), inputs)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("glstm", {"num_groups": 2}, "divide the input features, got num_groups=2 and .*=5"),
        ("glstm", {"num_groups": 3}, "divide features, got num_groups=3 and features=4"),
        (
            "glstm",
            {"num_groups": 2, "projection_size": 3},
            "divide projection_size, got num_groups=2 and projection_size=3",
        ),
        ("grid_lstm", {"feature_size": 2}, "feature_size=2 .* evenly, got 5"),
        ("grid_lstm", {"feature_size": 6}, "feature_size=6 .* evenly, got 5"),
        ("conv_lstm_2d", {"kernel_shape": (3,)}, r"kernel_shape must be 2 sizes .* got \(3,\)"),
        ("conv_lstm_2d", {"kernel_shape": (3, 0)}, r"kernel_shape must be 2 sizes .* \(3, 0\)"),
        ("conv_lstm_2d", {"kernel_shape": (3, 5)}, r"\(3, 5\) for an image of shape \(5, 4\)"),
    ],
)
def test_sizes_must_fit(name: str, options: dict[str, Any], message: str) -> None:
    cell = build(Case(name, options))
    inputs = jnp.ones((BATCH, STEPS, *INPUT_SHAPES[cell.num_feature_axes]))
    with pytest.raises(ValueError, match=message):
        nn.init(unroll, cell)(jax.random.key(0), inputs)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(parameter_shapes(), indent=2) + "\n")
