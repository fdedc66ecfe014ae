"""`unroll` where the type of an array says over which devices it is spread."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import GRUCell, LSTMCell
from rnnjax.recurrent.bidirectional import Bidirectional
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import assert_close, jit_unoptimized

BATCH, STEPS, FEATURES = 4, 5, 3
LENGTHS = np.array([5, 0, 3, 1], np.int32)
MODELS: dict[str, Any] = {
    "lstm": lambda: LSTMCell(4),
    "gru": lambda: GRUCell(4),
    "stack": lambda: Stack([LSTMCell(4), GRUCell(3, reset_after=True)]),
    "bidirectional": lambda: Bidirectional(LSTMCell(4), GRUCell(3)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "last": {"return_outputs": "last"},
    "remat": {"remat": True},
    "scan": {"implementation": "scan"},
}


def setup(name: str, options: dict[str, Any]) -> tuple[Any, Any, jax.Array]:
    """Returns a loss of variables, inputs and lengths; variables; inputs."""
    model, inputs = MODELS[name](), jax.random.normal(jax.random.key(0), (BATCH, STEPS, FEATURES))
    bidirectional = isinstance(model, Bidirectional)
    run: Any = model.apply if bidirectional else nn.apply(unroll, model)
    init: Any = model.init if bidirectional else nn.init(unroll, model)

    def loss(variables: Any, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        unrolled = run(variables, inputs, lengths=lengths, **options)
        return sum((jnp.sin(leaf).sum() for leaf in jax.tree.leaves(unrolled)), jnp.zeros(()))

    return loss, init(jax.random.key(1), inputs), inputs


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_shard_map_over_examples(name: str, options: dict[str, Any]) -> None:
    """Each device has its examples, all have the parameters; the types are checked."""
    loss, variables, inputs = setup(name, options)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, parts = jax.P(), jax.P("examples")

    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(whole, parts, parts), out_specs=(whole, parts)
    )
    def derive(variables: Any, inputs: jax.Array, lengths: jax.Array) -> Any:
        return jax.grad(loss, (0, 1))(variables, inputs, lengths)

    expected = jit_unoptimized(jax.grad(loss, (0, 1)))(variables, inputs, LENGTHS)
    assert_close(jit_unoptimized(derive)(variables, inputs, LENGTHS), expected, 1e-5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_explicitly_sharded_examples(name: str, options: dict[str, Any]) -> None:
    loss, variables, inputs = setup(name, options)
    expected = jit_unoptimized(jax.grad(loss, (0, 1)))(variables, inputs, LENGTHS)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        rows = jax.NamedSharding(mesh, jax.P("examples"))
        spread = [jax.device_put(leaf, rows) for leaf in (inputs, LENGTHS)]
        actual = jit_unoptimized(jax.grad(loss, (0, 1)))(variables, *spread)
    assert_close(actual, expected, 1e-5)
