"""Where `unroll` has to fall back to the plain scan: cells of a user's own, modes of JAX."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import Cell, DropoutCell, GRUCell, LSTMCell
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import Example, assert_close, example, jit_unoptimized
from tests.recurrent.own_cells import (
    Centred,
    Computed,
    Decaying,
    DoublingDropout,
    DoublingGRU,
    DoublingLSTM,
    DoublingStack,
    Leaky,
    Misnamed,
    Multiplicative,
    Noisy,
    OfExamples,
    OfThree,
    Penalised,
    Placed,
    Rounded,
    Settling,
    Shared,
    Turned,
    Undeclared,
    WeightNoise,
    WithModule,
)
from tests.recurrent.test_deferred import check_gradients, deferred, is_deferred, loss, plain

SCANNED: dict[str, Callable[[], nn.RNNCellBase]] = {
    "multiplicative": lambda: Multiplicative(4, param_dtype="float64"),
    "custom_vjp": lambda: Penalised(4, param_dtype="float64"),
    "decaying": lambda: Decaying(4, param_dtype="float64"),
    "call": lambda: DoublingLSTM(4, param_dtype="float64"),
    "step": lambda: DoublingGRU(4, reset_after=True, param_dtype="float64"),
    "stack": lambda: DoublingStack([LSTMCell(4, param_dtype="float64")]),
    "dropout": lambda: DoublingDropout(LSTMCell(4, param_dtype="float64")),
}
# What mixes or counts examples, or reads whole numbers, does so in the arithmetic of a step.
DEFERRED: dict[str, type[Leaky]] = {
    "leaky": Leaky,
    "centred": Centred,
    "shared": Shared,
    "placed": Placed,
    "turned": Turned,
    "of_three": OfThree,
    "whole_numbers": Rounded,
}
WRONG: dict[str, tuple[type[Leaky], str]] = {
    "computed": (Computed, r"Computed.products must declare .*, got a \w+"),
    "of_examples": (OfExamples, r"OfExamples.products: a bias must be one vector, .*\(3, 4\)"),
    "misnamed": (Misnamed, "the operand 'hidden' is none of 'inputs', 'state'"),
    "undeclared": (Undeclared, "reads params.bias, which Undeclared.pointwise_params does not"),
}

LENGTHS = np.array([2, 0, 6], np.int32)


@pytest.mark.parametrize("name", SCANNED)
def test_what_is_not_factored_is_scanned(name: str, x64: None) -> None:
    cell = SCANNED[name]()
    given = example(cell, "float64")
    check_gradients(cell, given, {}, 1e-11)
    assert not is_deferred(cell, given)


@pytest.mark.parametrize("name", DEFERRED)
def test_arithmetic_may_do_to_a_step_what_it_likes(name: str, x64: None) -> None:
    cell = DEFERRED[name](4, param_dtype="float64")
    given = example(cell, "float64")
    # What one example takes from another depends on whether there is padding.
    mixes = name in ("centred", "turned")
    check_gradients(cell, given, {} if mixes else {"lengths": LENGTHS}, 1e-11)
    assert is_deferred(cell, given)


@pytest.mark.parametrize("implementation", ["auto", "scan", "deferred"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_fails(name: str, implementation: Any) -> None:
    cell_type, message = WRONG[name]
    run = functools.partial(unroll, implementation=implementation)
    with pytest.raises((ValueError, TypeError), match=message):
        nn.init(run, cell_type(4))(jax.random.key(0), jnp.ones((3, 5, 4)))


@pytest.mark.parametrize("cell", [Noisy(4), WithModule(4)], ids=["stream", "module"])
def test_a_cell_that_needs_more_than_its_arguments(cell: Cell) -> None:
    x = jnp.ones((2, 5, 3))
    keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    variables = nn.init(unroll, cell)(keys, x)

    def total(variables: Any) -> jax.Array:
        return nn.apply(unroll, cell)(variables, x, rngs=keys).outputs.sum()

    gradients = jax.tree.leaves(jax.grad(total)(variables))
    assert all(jnp.isfinite(leaf).all() for leaf in gradients)
    assert any(jnp.abs(leaf).max() > 0 for leaf in gradients)


def test_noise_of_the_weights_is_new_at_each_step() -> None:
    cell, x = WeightNoise(4, leak=1.0, kernel_init=nn.initializers.zeros), jnp.ones((2, 5, 3))
    keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    outputs = nn.apply(unroll, cell)(nn.init(unroll, cell)(keys, x), x, rngs=keys).outputs
    assert len(np.unique(np.asarray(outputs[0, :, 0]))) == 5


def test_a_loop_of_unknown_length_in_forward_mode(x64: None) -> None:
    cell = Settling(4, param_dtype="float64")
    given = example(cell, "float64")
    actual, expected = (
        jax.jvp(functools.partial(loss, run, cell), given, given) for run in (deferred, plain)
    )
    assert_close(actual, expected, 1e-11)


def test_without_compilation(x64: None) -> None:
    """`jax.disable_jit` turns every scan into a Python loop."""
    cell = LSTMCell(4, param_dtype="float64")
    given = example(cell, "float64")
    with jax.disable_jit():
        actual = jax.grad(functools.partial(loss, deferred, cell))(*given)
    assert_close(actual, jax.grad(functools.partial(loss, plain, cell))(*given), 1e-11)


@pytest.mark.parametrize("return_outputs", ["all", "last"])
def test_no_tracer_leaks(return_outputs: Any) -> None:
    cell, x = LSTMCell(4), jnp.ones((2, 5, 3))
    variables = nn.init(unroll, cell)(jax.random.key(0), x)
    with jax.checking_leaks():
        run = functools.partial(nn.apply(unroll, cell), return_outputs=return_outputs)
        jit_unoptimized(jax.grad(lambda v: run(v, x).outputs.sum()))(variables)


def test_a_traced_field_can_be_differentiated(x64: None) -> None:
    given: Example = example(Leaky(4, param_dtype="float64"), "float64")

    def total(leak: Any) -> jax.Array:
        cell = Leaky(4, param_dtype="float64", leak=leak)
        return deferred(cell, given.variables, given.carry, given.inputs)[0].sum()

    at, small = 0.3, 1e-6
    slope = (total(at + small) - total(at - small)) / (2 * small)
    np.testing.assert_allclose(jax.grad(total)(at), slope, rtol=1e-7)


def test_interceptors_see_every_call() -> None:
    cell, x = LSTMCell(4), jnp.ones((2, 5, 3))
    variables = nn.init(unroll, cell)(jax.random.key(0), x)

    def double(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        return (result[0], 2 * result[1]) if context.method_name == "__call__" else result

    plain = nn.apply(unroll, cell)(variables, x).outputs
    with nn.intercept_methods(double):
        doubled = nn.apply(unroll, cell)(variables, x).outputs
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-6)


def test_explicitly_sharded_batches() -> None:
    cell, x = LSTMCell(4), jnp.ones((4, 5, 3))
    variables = nn.init(unroll, cell)(jax.random.key(0), x)
    carry = cell.initialize_carry(jax.random.key(0), (4, 3))

    def total(variables: Any, carry: Any, x: jax.Array) -> jax.Array:
        return nn.apply(unroll, cell)(variables, x, initial_carry=carry).outputs.sum()

    expected = jax.grad(total)(variables, carry, x)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        rows = jax.NamedSharding(mesh, jax.P("examples"))
        actual = jit_unoptimized(jax.grad(total))(
            variables, jax.device_put(carry, rows), jax.device_put(x, rows)
        )
    assert_close(actual, expected, 1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", [{}, {"truncate_every": 3}, {"remat": True}], ids="+".join)
@pytest.mark.parametrize(
    "cell",
    [Leaky(4), LSTMCell(4), GRUCell(4), DropoutCell(LSTMCell(4)), Stack([LSTMCell(4), Leaky(3)])],
    ids=["leaky", "lstm", "gru", "idle_dropout", "stack"],
)
def test_the_last_output_is_one_of_all(
    cell: nn.RNNCellBase, options: dict[str, Any], reverse: bool
) -> None:
    """Its value, and its gradient: that of the output at each sequence's own last step."""
    x = jax.random.normal(jax.random.key(1), (3, 6, 5))
    variables = nn.init(unroll, cell)(jax.random.key(0), x)
    run = functools.partial(nn.apply(unroll, cell), lengths=LENGTHS, reverse=reverse, **options)

    def last(variables: Any) -> jax.Array:
        return run(variables, x, return_outputs="last").outputs

    def last_of_all(variables: Any) -> jax.Array:
        outputs = run(variables, x).outputs
        ends = jnp.zeros_like(LENGTHS) if reverse else jnp.maximum(LENGTHS - 1, 0)
        return outputs[jnp.arange(3), ends]

    def derive(function: Callable[[Any], jax.Array]) -> tuple[jax.Array, Any]:
        value, pull_back = jax.vjp(function, variables)
        return value, pull_back(jnp.cos(value))[0]

    (actual, gradients), (expected, expected_gradients) = jit_unoptimized(
        lambda: (derive(last), derive(last_of_all))
    )()
    assert_close(actual, expected, 1e-6)
    assert_close(gradients, expected_gradients, 1e-5)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients)) > 0.01
