"""What runs a cell on a GPU, in programs for several devices."""

import functools
from typing import Any

import jax
import pytest
from jax import export

from rnnjax.cells import LSTMCell
from tests.cases import assert_close, jit_unoptimized
from tests.recurrent.accelerated import (
    arguments_for,
    loss,
    value_and_gradients,
)

CALLS = [export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")]


@pytest.mark.parametrize("implementation", ["fused", "cudnn"])
def test_the_batch_spread_over_devices(implementation: str, stand_in: None) -> None:
    """By pmap and by shard_map, but not while that checks what differs between devices."""
    cell = LSTMCell(16)
    variables, carry, inputs = arguments_for(cell)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, parts = jax.P(), jax.P("examples")
    halves = jax.tree.map(lambda leaf: leaf.reshape(2, 16, *leaf.shape[1:]), (carry, inputs))

    def gradients(implementation: str) -> Any:
        return jax.grad(functools.partial(loss, cell, implementation=implementation), (0, 1))

    def mapped(implementation: str) -> Any:
        function = gradients(implementation)
        return jax.pmap(function, in_axes=(None, 0, 0), devices=jax.devices()[:2])

    def sharded(implementation: str, **options: Any) -> Any:
        specs: Any = {"in_specs": (whole, parts, parts), "out_specs": (parts, parts)}

        def of_part(*arguments: Any) -> Any:
            of_weights, of_carry = gradients(implementation)(*arguments)
            return jax.tree.map(lambda leaf: leaf[None], of_weights), of_carry

        return jit_unoptimized(jax.shard_map(of_part, mesh=mesh, **specs, **options))

    expected = mapped("scan")(variables, *halves)
    assert_close(mapped(implementation)(variables, *halves), expected, 2e-5)
    of_weights, of_carry = sharded(implementation, check_vma=False)(variables, carry, inputs)
    assert_close(of_weights, expected[0], 2e-5)
    assert_close(jax.tree.map(lambda leaf: leaf.reshape(2, 16, -1), of_carry), expected[1], 2e-5)
    with pytest.raises(ValueError, match="differs between the devices of a shard_map"):
        sharded(implementation)(variables, carry, inputs)


def test_auto_in_a_shard_map_that_checks() -> None:
    cell = LSTMCell(16)
    variables, carry, inputs = arguments_for(cell)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, parts = jax.P(), jax.P("examples")
    gradients: Any = jax.grad(functools.partial(loss, cell), (0, 1))
    sharded = jax.shard_map(
        gradients, mesh=mesh, in_specs=(whole, parts, parts), out_specs=(whole, parts)
    )
    expected = gradients(variables, carry, inputs)
    assert_close(jit_unoptimized(sharded)(variables, carry, inputs), expected, 2e-5)


def test_a_program_for_several_devices_cannot_have_the_kernel() -> None:
    """Which JAX says; what "auto" chooses can be had there."""
    cell = LSTMCell(16)
    arguments = arguments_for(cell)

    def exported(**options: Any) -> Any:
        function = value_and_gradients(cell, **options)
        return export.export(function, platforms=["cpu", "cuda"], disabled_checks=CALLS)(*arguments)

    with pytest.raises(ValueError, match="Only interpret mode is supported on CPU"):
        exported(implementation="fused")
    assert "triton" not in exported().mlir_module()
