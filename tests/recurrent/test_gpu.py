"""What runs a cell on a GPU, interpreted or with a stand-in on a CPU."""

import functools
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import export

from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.recurrent import implementations
from rnnjax.recurrent.unroll import unroll
from tests.cases import assert_close, jit_unoptimized
from tests.recurrent.accelerated import (
    BATCH,
    CELLS,
    OPTIONS,
    REFUSED,
    arguments_for,
    loss,
    second_derivatives,
    value_and_gradients,
)

CALLS = [export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")]


@pytest.mark.parametrize("options", OPTIONS, ids="+".join)
@pytest.mark.parametrize("name", CELLS)
def test_fused(name: str, options: dict[str, Any]) -> None:
    """The kernels, interpreted, have the values and gradients of the scan."""
    cell = CELLS[name]()
    arguments = arguments_for(cell)
    expected = value_and_gradients(cell, implementation="scan", **options)(*arguments)
    function = value_and_gradients(cell, implementation="fused", **options)
    assert_close(function(*arguments), expected, 1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_the_plain_function_that_is_derived_further(name: str) -> None:
    cell = CELLS[name]().copy(features=16)
    arguments = arguments_for(cell)
    expected = second_derivatives(cell, implementation="scan", **OPTIONS[-1])(*arguments)
    function = second_derivatives(cell, implementation="fused", **OPTIONS[-1])
    assert_close(function(*arguments), expected, 5e-5)


def for_cuda(function: Any, *arguments: Any) -> str:
    """Returns the program that is compiled for a GPU, which need not be there."""
    return export.export(jax.jit(function), platforms=["cuda"], disabled_checks=CALLS)(
        *arguments
    ).mlir_module()


def a_gpu() -> AbstractContextManager[Any]:
    """What JAX 0.12 asks to be told of a GPU that is not there."""
    device = jax.sharding.AbstractDevice("NVIDIA H100", None, "gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", CELLS)
def test_the_kernels_compile_to_triton(name: str) -> None:
    """Nothing is left of the plain scan."""
    cell = CELLS[name]()
    with a_gpu():
        for options in OPTIONS:
            run = functools.partial(loss, cell, implementation="fused", **options)
            program = for_cuda(jax.value_and_grad(run, (0, 1, 2)), *arguments_for(cell))
            assert 'name = "recurrence"' in program
            assert 'name = "recurrence_backwards"' in program
            assert "stablehlo.while" not in program


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
def test_the_kernels_of_mapped_examples_compile_to_triton() -> None:
    cell = LSTMCell(16)
    variables, carry, inputs = arguments_for(cell)
    gradient: Any = jax.grad(functools.partial(loss, cell, implementation="fused"), (0, 2))
    with a_gpu():
        mapped = jax.vmap(gradient, (None, None, 0))
        program = for_cuda(mapped, variables, carry, jnp.stack([inputs, inputs]))
    assert 'name = "recurrence"' in program
    assert 'name = "recurrence_backwards"' in program
    assert "stablehlo.while" not in program


@pytest.mark.parametrize(("cell", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_the_kernel_is_not_for(cell: nn.RNNCellBase, reason: str) -> None:
    variables, _, inputs = arguments_for(cell)
    with pytest.raises(
        ValueError, match=f"'fused' cannot be had for {type(cell).__name__}: .*{reason}"
    ):
        nn.apply(unroll, cell)(variables, inputs, implementation="fused")
    expected = nn.apply(unroll, cell)(variables, inputs, implementation="scan")
    assert_close(nn.apply(unroll, cell)(variables, inputs), expected, 1e-6)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((BATCH - 1, 5, 4), "B = 31"), ((0, 5, 4), "shape"), ((16, 5, 0), "shape")],
    ids=["no_multiple_of_the_rows", "no_examples", "no_features"],
)
def test_inputs_that_the_kernel_is_not_for(shape: tuple[int, ...], reason: str) -> None:
    cell, inputs = LSTMCell(16, kernel_init=nn.initializers.ones), jnp.ones(shape)
    variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    with pytest.raises(ValueError, match=reason):
        nn.apply(unroll, cell)(variables, inputs, implementation="fused")
    expected = nn.apply(unroll, cell)(variables, inputs, implementation="scan")
    assert_close(nn.apply(unroll, cell)(variables, inputs), expected, 1e-6)


@pytest.mark.parametrize("derive", [value_and_gradients, second_derivatives])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, *OPTIONS[2:]], ids="+".join)
def test_cudnn(options: dict[str, Any], derive: Any, stand_in: None) -> None:
    cell = LSTMCell(16, bias_init=nn.initializers.normal())
    arguments = arguments_for(cell)
    expected = derive(cell, implementation="scan", **options)(*arguments)
    tolerance = 1e-5 if derive is value_and_gradients else 2e-5
    assert_close(derive(cell, implementation="cudnn", **options)(*arguments), expected, tolerance)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (LSTMCell(16, use_peepholes=True), "peepholes"),
        (LSTMCell(16, projection_size=8), "projection"),
        (LSTMCell(16, cell_clip=1.0), "clipping"),
        (LSTMCell(16, activation=jnp.sin), "activation"),
        (LSTMCell(16, param_dtype=jnp.bfloat16), "bfloat16"),
        (GRUCell(16, reset_after=True), "no such cell"),
    ],
    ids=["peepholes", "projection", "cell_clip", "activation", "bfloat16", "gru"],
)
def test_what_cudnn_has_not(cell: nn.RNNCellBase, reason: str, stand_in: None) -> None:
    variables, _, inputs = arguments_for(cell)
    with pytest.raises(ValueError, match=f"'cudnn' cannot be had for .*{reason}"):
        nn.apply(unroll, cell)(variables, inputs, implementation="cudnn")


def test_cudnn_has_a_gpu_and_returns_the_last_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = LSTMCell(16)
    variables, _, inputs = arguments_for(cell)
    run: Any = functools.partial(nn.apply(unroll, cell), variables, inputs, implementation="cudnn")
    with pytest.raises(ValueError, match="no GPU"):
        run()
    with pytest.raises(ValueError, match="not that of every step"):
        run(return_carry="all")


@pytest.mark.parametrize("implementation", ["fused", "cudnn"])
def test_other_transformations(implementation: str, stand_in: None) -> None:
    """Forward mode, second derivatives, examples mapped one by one, remat, and outside of jit."""
    cell = LSTMCell(16)
    arguments = arguments_for(cell, 16)
    variables, carry, inputs = arguments
    many = jnp.stack([inputs, 2 * inputs])

    def results(implementation: str) -> Any:
        run: Any = functools.partial(loss, cell, implementation=implementation)
        gradient = jax.grad(run, 2)
        direction = jax.tree.map(jnp.cos, arguments)
        compiled = jit_unoptimized(
            lambda *arguments: (
                jax.jvp(run, arguments, direction),
                jax.jvp(jax.grad(run, (0, 1, 2)), arguments, direction),
                jax.grad(lambda *a: jnp.sin(gradient(*a)).sum())(*arguments),
                jax.vmap(gradient, (None, None, 0))(variables, carry, many),
                jax.grad(jax.checkpoint(run))(*arguments),
            )
        )
        return compiled(*arguments), jax.value_and_grad(run)(*arguments)

    assert_close(results(implementation), results("scan"), 2e-5)


def test_a_derivative_of_the_cells_own() -> None:
    """A relu at 0 has the slope 0, the maximum that it is made of has 1/2."""
    cell = BasicRNNCell(16, activation=jax.nn.relu)
    variables, carry, inputs = arguments_for(cell)
    zeros = jax.tree.map(jnp.zeros_like, (carry, inputs))
    for derive in (value_and_gradients, second_derivatives):
        expected = derive(cell, implementation="scan")(variables, *zeros)
        assert_close(derive(cell, implementation="fused")(variables, *zeros), expected, 1e-6)


@pytest.mark.parametrize("name", ["scan", "deferred", "fused"])
def test_auto_takes_what_the_table_has(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its cells alone; where it cannot be had, "deferred"."""
    monkeypatch.setattr(implementations, "FASTEST", {"cpu": {LSTMCell: name}})

    def program(cell: nn.RNNCellBase, implementation: str) -> str:
        run = functools.partial(loss, cell, implementation=implementation)
        return jax.jit(jax.grad(run)).lower(*arguments_for(cell)).as_text()

    assert program(LSTMCell(16), "scan") != program(LSTMCell(16), "deferred")
    assert program(LSTMCell(16), "auto") == program(LSTMCell(16), name)
    for cell in (GRUCell(16, reset_after=True), LSTMCell(24)):
        rest = name if name == "scan" and type(cell) is LSTMCell else "deferred"
        assert program(cell, "auto") == program(cell, rest)


def test_float32_among_float64(x64: None) -> None:
    cell = LSTMCell(16)
    arguments = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), arguments_for(cell))
    expected = value_and_gradients(cell, implementation="scan")(*arguments)
    result = value_and_gradients(cell, implementation="fused")(*arguments)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(result)} == {"float32"}
    assert_close(result, expected, 1e-5)
