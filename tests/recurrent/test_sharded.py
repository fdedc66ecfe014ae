"""`unroll` where the type of an array says over which devices it is spread."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import DropoutCell, GRUCell, LearnedCarryCell, LSTMCell, ZoneoutCell
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


def arguments(cell: Any, alike: set[str]) -> dict[str, Any]:
    """Returns all arguments of arrays, both halves of the batch being equal in some of them."""
    inputs = jax.random.normal(jax.random.key(0), (BATCH, STEPS, FEATURES))
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, FEATURES))
    flags = jax.random.bernoulli(jax.random.key(1), 0.6, (2, BATCH, STEPS))
    given = {
        "inputs": inputs,
        "initial_carry": jax.tree.map(lambda x: x + jnp.arange(4)[:, None].astype(x.dtype), carry),
        "lengths": jnp.asarray(LENGTHS),
        "mask": flags[0],
        "resets": flags[1],
    }
    return {
        name: jax.tree.map(lambda x: jnp.concatenate([x[:2]] * 2), x) if name in alike else x
        for name, x in given.items()
    }


NAMES = ["inputs", "initial_carry", "lengths", "mask", "resets"]
each_way = pytest.mark.parametrize(
    "options", [{}, {"truncate_every": 2, "return_outputs": "last"}], ids=["whole", "chunks"]
)


def loss_of(cell: Any, options: dict[str, Any]) -> Any:
    def loss(variables: Any, inputs: Any, rest: dict[str, Any]) -> jax.Array:
        unrolled = nn.apply(unroll, cell)(variables, inputs, **rest, **options)
        return sum((jnp.sin(leaf).sum() for leaf in jax.tree.leaves(unrolled)), jnp.zeros(()))

    return loss


@each_way
@pytest.mark.parametrize("name", NAMES)
def test_only_one_argument_differs_between_devices(name: str, options: dict[str, Any]) -> None:
    cell = LSTMCell(1)
    given = arguments(cell, alike={*NAMES} - {name})
    variables = nn.init(unroll, cell)(jax.random.key(1), given["inputs"])
    derive = jax.grad(loss_of(cell, options))
    inputs = given.pop("inputs")
    expected = jit_unoptimized(derive)(variables, inputs, given)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = {key: jax.P("examples") if key == name else jax.P() for key in NAMES}
    parts = jax.shard_map(
        derive,
        mesh=mesh,
        in_specs=(jax.P(), specs.pop("inputs"), specs),
        out_specs=jax.P(),
    )
    half = {key: x if key == name else jax.tree.map(lambda x: x[:2], x) for key, x in given.items()}
    inputs = inputs if name == "inputs" else inputs[:2]
    assert_close(jit_unoptimized(parts)(variables, inputs, half), expected, 1e-5)


@each_way
@pytest.mark.parametrize("name", NAMES)
def test_only_one_argument_is_sharded(name: str, options: dict[str, Any]) -> None:
    """A carry of one feature, whose flags broadcast to it without a change of their shape."""
    cell = LSTMCell(1)
    given = arguments(cell, alike=set())
    variables = nn.init(unroll, cell)(jax.random.key(1), given["inputs"])
    derive = jit_unoptimized(jax.grad(loss_of(cell, options)))
    expected = derive(variables, given["inputs"], {k: v for k, v in given.items() if k != "inputs"})
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        given[name] = jax.device_put(given[name], jax.NamedSharding(mesh, jax.P("examples")))
        actual = derive(variables, given.pop("inputs"), given)
    assert_close(actual, expected, 1e-5)


def test_masks_are_where_the_examples_are() -> None:
    """Explicitly sharded, they are those of one device; keys may differ in a shard_map."""
    dropout = DropoutCell(LearnedCarryCell(LSTMCell(4)), 0.5, 0.5, 0.5)
    cell = Stack([dropout, ZoneoutCell(GRUCell(4), 0.5)], between_keep_prob=0.5)
    inputs, keys = jnp.ones((BATCH, STEPS, FEATURES)), jax.random.split(jax.random.key(0))
    rngs = {"params": keys[0], "dropout": keys[1]}
    variables = nn.init(unroll, cell)(rngs, inputs)

    def unrolled(inputs: jax.Array, key: jax.Array) -> jax.Array:
        options: Any = {"lengths": LENGTHS, "rngs": {"dropout": key}}
        return nn.apply(unroll, cell)(variables, inputs, **options).outputs

    run = jit_unoptimized(unrolled)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Explicit,))
    expected = run(inputs, keys[0])
    with jax.set_mesh(mesh):
        spread = jax.device_put(inputs, jax.NamedSharding(mesh, jax.P("examples")))
        assert_close(run(spread, keys[0]), expected, 1e-6)

    mesh = jax.make_mesh((2,), ("keys",), axis_types=(jax.sharding.AxisType.Auto,))
    specs: Any = {"in_specs": (jax.P(), jax.P("keys")), "out_specs": jax.P("keys")}
    each = jax.shard_map(lambda x, key: unrolled(x, key[0]), mesh=mesh, **specs)
    both = jnp.concatenate([run(inputs, key) for key in keys])
    assert_close(jit_unoptimized(each)(inputs, keys), both, 1e-6)
