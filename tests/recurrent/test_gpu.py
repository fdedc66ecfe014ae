"""What takes the place of the scan on a GPU, interpreted or stood in for on a CPU."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.experimental import rnn

from rnnjax.cells import BasicRNNCell, LSTMCell
from rnnjax.recurrent import gpu
from rnnjax.recurrent.gpu import cudnn, replace
from rnnjax.recurrent.unroll import unroll
from tests.cases import assert_close
from tests.recurrent.accelerated import (
    BATCH,
    CELLS,
    WAYS,
    Scaled,
    Softmax,
    check,
    given,
    is_accelerated,
    loss,
    reference_backward,
    reference_forward,
    value_and_gradients,
)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "_is_there", lambda: True)
    monkeypatch.setattr(rnn, "lstm_fwd", reference_forward)
    monkeypatch.setattr(rnn, "lstm_bwd", reference_backward)


@pytest.mark.parametrize("way", WAYS, ids="+".join)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("by", ["kernel", "plain"])
def test_fused(by: str, name: str, way: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels, interpreted; and on other devices than theirs what they stand for."""
    if by == "kernel":
        monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    check(monkeypatch, "fused", CELLS[name](), **way)


@pytest.mark.parametrize("name", CELLS)
def test_the_kernels_compile_to_triton(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = CELLS[name]()
    monkeypatch.setitem(gpu.FASTER, type(cell), "fused")
    calls = [export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")]
    for way in WAYS:
        exported = export.export(
            value_and_gradients(cell, **way), platforms=["cuda"], disabled_checks=calls
        )(*given(cell))
        program = exported.mlir_module()
        assert 'name = "recurrence"' in program
        assert 'name = "recurrence_backwards"' in program


@pytest.mark.parametrize(
    "cell",
    [
        LSTMCell(24),
        LSTMCell(16, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16),
        Softmax(16),
        Scaled(128),
    ],
    ids=["no_power_of_two", "bfloat16", "columns_mixed", "columns_counted"],
)
def test_what_the_kernel_is_not_for_is_scanned(
    cell: nn.RNNCellBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, _, inputs = given(cell)
    expected = nn.apply(unroll, cell)(variables, inputs)
    monkeypatch.setitem(gpu.FASTER, type(cell), "fused")
    assert "accelerated" not in str(jax.make_jaxpr(nn.apply(unroll, cell))(variables, inputs))
    assert_close(nn.apply(unroll, cell)(variables, inputs), expected, 0.0)


def test_a_batch_that_is_no_multiple_of_the_rows_is_scanned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = LSTMCell(16)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, "fused")
    assert "accelerated" not in str(
        jax.make_jaxpr(functools.partial(loss, cell))(*given(cell, BATCH - 1))
    )


@pytest.mark.parametrize("way", [WAYS[0], {"reverse": True}, *WAYS[2:]], ids="+".join)
@pytest.mark.parametrize("by", ["kernel", "plain"])
def test_cudnn(
    by: str, way: dict[str, Any], stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "kernel":
        monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    check(monkeypatch, "cudnn", LSTMCell(16, bias_init=nn.initializers.normal()), **way)


@pytest.mark.parametrize(
    "options",
    [
        {"use_peepholes": True},
        {"projection_size": 8},
        {"cell_clip": 1.0},
        {"activation": jnp.sin},
        {"param_dtype": jnp.bfloat16},
    ],
    ids="+".join,
)
def test_an_lstm_that_cudnn_has_not_is_scanned(
    options: dict[str, Any], stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = LSTMCell(16, **options)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, "cudnn")
    variables, _, inputs = given(cell)
    assert "accelerated" not in str(jax.make_jaxpr(nn.apply(unroll, cell))(variables, inputs))


@pytest.mark.parametrize("kind", ["fused", "cudnn"])
def test_other_transformations(kind: Any, stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward mode, second derivatives, examples mapped one by one, remat, and outside of jit."""
    cell = LSTMCell(16)
    arguments = given(cell, 16)
    variables, carry, inputs = arguments
    many = jnp.stack([inputs, 2 * inputs])

    def found() -> Any:
        run: Any = functools.partial(loss, cell)
        gradient = jax.grad(run, 2)
        direction = jax.tree.map(jnp.cos, arguments)
        return (
            jax.jvp(run, arguments, direction),
            jax.jit(lambda *a: jax.jvp(jax.grad(run, (0, 1, 2)), a, direction))(*arguments),
            jax.jit(jax.grad(lambda *a: jnp.sin(gradient(*a)).sum()))(*arguments),
            jax.jit(jax.vmap(gradient, (None, None, 0)))(variables, carry, many),
            jax.jit(jax.grad(jax.checkpoint(run)))(*arguments),
            jax.value_and_grad(run)(*arguments),
        )

    expected = found()
    monkeypatch.setitem(gpu.FASTER, LSTMCell, kind)
    monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    assert is_accelerated(cell, *arguments)
    assert_close(found(), expected, 2e-5)


@pytest.mark.parametrize("kind", ["fused", "cudnn"])
def test_the_batch_spread_over_devices(
    kind: Any, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pmap, and by shard_map, which keeps track of what differs between devices."""
    cell = LSTMCell(16)
    variables, carry, inputs = given(cell)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, split = jax.P(), jax.P("examples")

    def found() -> Any:
        gradients: Any = jax.grad(functools.partial(loss, cell), (0, 1))
        halves = jax.tree.map(lambda leaf: leaf.reshape(2, 16, *leaf.shape[1:]), (carry, inputs))
        mapped = jax.pmap(gradients, in_axes=(None, 0, 0), devices=jax.devices()[:2])
        sharded = jax.shard_map(
            gradients, mesh=mesh, in_specs=(whole, split, split), out_specs=(whole, split)
        )
        return mapped(variables, *halves), jax.jit(sharded)(variables, carry, inputs)

    expected = found()
    whole_batch: Any = jax.grad(functools.partial(loss, cell), (0, 1))(variables, carry, inputs)
    assert_close(expected[1], whole_batch, 2e-5)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, kind)
    monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    assert is_accelerated(cell, variables, carry, inputs)
    assert_close(found(), expected, 2e-5)


@pytest.mark.parametrize("by", ["kernel", "plain"])
def test_a_derivative_of_the_cells_own(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relu at 0 has the slope 0, the maximum that it is made of has 1/2."""
    cell = BasicRNNCell(16, activation=jax.nn.relu)
    variables, carry, inputs = given(cell)

    def found() -> Any:
        zeros = jax.tree.map(jnp.zeros_like, (carry, inputs))
        return jax.jit(jax.grad(lambda *a: loss(cell, *a), (0, 1, 2)))(variables, *zeros)

    expected = found()
    monkeypatch.setitem(gpu.FASTER, BasicRNNCell, "fused")
    if by == "kernel":
        monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    assert is_accelerated(cell, variables, carry, inputs)
    assert_close(found(), expected, 1e-6)


def test_float32_among_float64(x64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace, "PLATFORMS", ("cpu",))
    cell = LSTMCell(16)
    arguments = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), given(cell))
    expected = jax.jit(lambda *a: jax.grad(functools.partial(loss, cell), 2)(*a))(*arguments)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, "fused")
    assert is_accelerated(cell, *arguments)
    found = jax.jit(lambda *a: jax.grad(functools.partial(loss, cell), 2)(*a))(*arguments)
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("shape", [(0, 5, 4), (16, 5, 0)], ids=["no_examples", "no_features"])
def test_nothing_to_read(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    cell, inputs = LSTMCell(16, kernel_init=nn.initializers.ones), jnp.ones(shape)
    variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    expected = nn.apply(unroll, cell)(variables, inputs)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, "fused")
    assert_close(nn.apply(unroll, cell)(variables, inputs), expected, 0.0)


def test_a_program_for_several_devices_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = LSTMCell(16)
    monkeypatch.setitem(gpu.FASTER, LSTMCell, "fused")
    both = export.export(value_and_gradients(cell), platforms=["cpu", "cuda"])(*given(cell))
    assert "triton" not in both.mlir_module()
