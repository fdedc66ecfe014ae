"""Every registered cell against its published equations, itself, its gradients and flax."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS
from rnnjax.recurrent.unroll import unroll
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
    shapes,
)
from tests.references import CASES, REFERENCES
from tests.references.common import Case

# Options of the initial values alone.
INITIAL = {"period_min", "period_max"}


class Compiled(NamedTuple):
    cell: Any
    example: Example
    apply: Callable[..., Any]


def compile_cell(case: Case, dtype: str) -> Compiled:
    cell = build(case, param_dtype=dtype)
    with jax.enable_x64(dtype == "float64"):
        return Compiled(cell, example(cell, dtype), jit_unoptimized(cell.apply))


# In the scope of the module pytest runs the tests of one case after another: they share programs.
@pytest.fixture(scope="module", params=CASES, ids=label)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def float32(case: Case) -> Compiled:
    return compile_cell(case, "float32")


@pytest.fixture(scope="module")
def float64(case: Case) -> Compiled:
    return compile_cell(case, "float64")


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


def test_every_cell_and_option_is_tested() -> None:
    assert CELLS.keys() == REFERENCES.keys()
    for name, cell in CELLS.items():
        fields = {field.name for field in dataclasses.fields(cell)}
        options = {f for f in fields if not f.endswith(("_init", "dtype"))}
        options -= {"features", "name", "parent"}
        tested = {option for case in CASES if case.name == name for option in case.options}
        assert any(case.name == name for case in CASES)
        assert options == tested - {"features"}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
def test_equals_the_published_equations(
    case: Case, dtype: str, tolerance: float, request: pytest.FixtureRequest
) -> None:
    _, given, step = request.getfixturevalue(dtype)
    with jax.enable_x64(dtype == "float64"):
        carry, outputs = given.carry, []
        for x in np.asarray(given.inputs).swapaxes(0, 1):
            carry, y = step(given.variables, carry, x)
            outputs.append(np.asarray(y))
    expected_carry, expected = run_reference(case, given)
    assert outputs[0].dtype == dtype
    assert_close(np.stack(outputs, axis=1), expected, tolerance)
    assert_close(carry._asdict(), expected_carry, tolerance)


def test_every_option_bites(case: Case, float32: Compiled) -> None:
    """Otherwise agreement with the reference would say nothing about the option."""
    carry, outputs = run_reference(case, float32.example)
    for option in case.options.keys() - INITIAL:
        if shapes(case) != shapes(case, without=option):
            continue  # It shows in the shapes.
        _, others = run_reference(case, float32.example, without=option)
        assert np.abs(outputs - others).max() > 1e-2, option
    for option, clipped in (("cell_clip", "cell"), ("projection_clip", "hidden")):
        if bound := case.options.get(option):
            assert np.abs(carry[clipped]).max() == bound


def test_step_is_a_pure_function(float32: Compiled) -> None:
    cell, (variables, carry, inputs), apply = float32
    params = nn.apply(lambda cell: cell.parameters(inputs.shape[-1]), cell)(variables)
    actual = jit_unoptimized(cell.step)(params, carry, inputs[:, 0])
    assert_equal(actual, apply(variables, carry, inputs[:, 0]))


def test_gradients(float64: Compiled) -> None:
    """Forward and reverse mode against central differences, all in one program."""
    cell, (variables, carry, inputs), _ = float64

    def run(args: Example) -> Any:
        return nn.apply(unroll, cell)(args.variables, args.inputs, initial_carry=args.carry)

    def differentiate(args: Example, tangents: Example) -> Any:
        def shifted(eps: float) -> Example:
            return jax.tree.map(lambda arg, tangent: arg + eps * tangent, args, tangents)

        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), shifted(1e-5), shifted(-1e-5))
        differences = jax.tree.map(lambda y: (y[0] - y[1]) / 2e-5, jax.lax.map(run, both))
        outputs, derivatives = jax.jvp(run, (args,), (tangents,))
        same_outputs, pull_back = jax.vjp(run, args)
        cotangents = draw_like(outputs, 2)
        (gradients,) = pull_back(cotangents)
        return (outputs, same_outputs), (derivatives, differences), (gradients, cotangents)

    with jax.enable_x64(True):
        args = Example(variables, carry, inputs[:, :3])
        tangents = draw_like(args, 1)
        outputs, derivatives, products = jit_unoptimized(differentiate)(args, tangents)
    gradients, cotangents = products
    assert_close(*outputs)
    assert_close(*derivatives, tolerance=1e-6)
    assert_close(inner(gradients, tangents), inner(cotangents, derivatives[1]), 1e-6)


def draw_like(tree: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), tree)


def inner(a: Any, b: Any) -> float:
    """Returns the inner product of two trees."""
    return sum(np.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_works_in_flax_rnn(float64: Compiled) -> None:
    cell, (variables, carry, inputs), _ = float64

    @jit_unoptimized
    def run_both(params: Any, carry: Any, inputs: jax.Array) -> tuple[Any, Any]:
        ours = nn.apply(unroll, cell)({"params": params}, inputs, initial_carry=carry)
        rnn = nn.RNN(cell, return_carry=True)
        return ours, rnn.apply({"params": {"cell": params}}, inputs, initial_carry=carry)

    with jax.enable_x64(True):
        (outputs, last), expected = run_both(variables["params"], carry, inputs)
    assert_close((last, outputs), expected)


@pytest.mark.parametrize("name", ["slstm", "layer_norm_lstm", "layer_norm_gru", "weight_norm_lstm"])
def test_division_by_nothing_is_finite(name: str) -> None:
    """A state, inputs and weights of zero: no variance, no length, nothing to normalise."""
    cell = build(Case(name, {}))
    zeros = jax.tree.map(jnp.zeros_like, example(cell, "float32"))

    def total(variables: Any) -> jax.Array:
        return nn.apply(unroll, cell)(variables, zeros.inputs).outputs.sum()

    run = jit_unoptimized(jax.value_and_grad(total))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run(zeros.variables)))


def test_slstm_starts_from_nothing() -> None:
    """However much more the forget gate says, the first input is all there is to remember."""
    case = Case("slstm", {})
    cell = build(case)
    given = example(cell, "float32")
    extreme = jnp.repeat(jnp.array([-200.0, 200.0, 1.0, 1.0]), cell.features)  # i, f, z, o
    variables = {"params": given.variables["params"] | {"bias": extreme}}
    carry = cell.initialize_carry(jax.random.key(0), given.inputs[:, 0].shape)
    outputs, last = run(cell, variables, given.inputs, initial_carry=carry)
    expected_carry, expected = run_reference(case, Example(variables, carry, given.inputs))
    assert_close(outputs, expected, 2e-6)
    np.testing.assert_allclose(last.stabilizer, expected_carry["stabilizer"], rtol=1e-5)
