"""What a cell of a user's own may declare, and what it may not."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import GRUCell, MGUCell
from rnnjax.cells.linear import Dense, Inputs, Sum
from rnnjax.recurrent.unroll import unroll
from tests.recurrent.own_cells import Carry, Leaky, Params


class RandomProducts(Leaky):
    """Drops weights at random at each step, where it declares its product."""

    @nn.nowrap
    def products(self, params: Any) -> Any:
        mask = jax.random.bernoulli(self.make_rng("noise"), 0.5, params.kernel.shape)
        return Dense(("inputs", "state"), jnp.where(mask, params.kernel, 0.0), params.bias)


class RandomIfAsked(Leaky):
    """Draws its bias at random at each step, if there is a stream for it."""

    @nn.compact
    def parameters(self, num_inputs: int) -> Params:
        params = super().parameters(num_inputs)
        if not self.has_rng("noise"):
            return params
        noise = jax.random.normal(self.make_rng("noise"), params.bias.shape)
        return params._replace(bias=params.bias + noise)


@pytest.mark.parametrize("cell_type", [RandomProducts, RandomIfAsked])
def test_what_is_drawn_at_random_is_new_at_each_step(cell_type: type[Leaky]) -> None:
    cell, x = cell_type(4), jnp.ones((2, 5, 3))
    keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    variables = nn.init(unroll, cell)(keys, x)

    def outputs(implementation: Any) -> jax.Array:
        run = functools.partial(unroll, implementation=implementation)
        return nn.apply(run, cell)(variables, x, rngs=keys).outputs

    np.testing.assert_array_equal(outputs("auto"), outputs("scan"))
    with pytest.raises(ValueError, match="'deferred' cannot be had"):
        outputs("deferred")


class CountCarry(NamedTuple):
    counter: jax.Array
    state: jax.Array


class Counting(Leaky):
    """The first leaf of its carry is an integer."""

    carry_type = CountCarry

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        (state,), outputs = super().pointwise(params, Carry(carry.state), products)
        return CountCarry(carry.counter + 1, state), outputs

    @nn.nowrap
    def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]) -> Any:
        count = jnp.zeros((*input_shape[:-1], self.features), jnp.int32)
        return CountCarry(count, self.zeros(input_shape, self.features))


def test_an_integer_in_the_carry_rounds_nothing() -> None:
    x = jax.random.normal(jax.random.key(1), (2, 5, 3))
    variables = nn.init(unroll, Leaky(4))(jax.random.key(0), x)
    expected = nn.apply(unroll, Leaky(4))(variables, x).outputs
    counted = nn.apply(unroll, Counting(4))(variables, x)
    np.testing.assert_allclose(counted.outputs, expected, rtol=1e-6)
    np.testing.assert_array_equal(counted.carry.counter, 5)


class OneProduct(NamedTuple):
    inputs: Any


class OneState(NamedTuple):
    state: Any


PRODUCT = ("inputs", "state")
WRONG: dict[str, tuple[Any, str]] = {
    "named_inputs": (lambda p: OneProduct(Inputs()), "'inputs' is the name of an operand already"),
    "named_as_the_carry": (lambda p: OneState(Inputs()), "'state' is the name of an operand"),
    "gates_of_a_term": (
        lambda p: Sum((Dense(PRODUCT, p.kernel, p.bias, ("a", "b")),)),
        "the gates of a Sum are its own",
    ),
    "sum_of_inputs": (lambda p: Sum((Inputs(),)), "a Sum cannot add up a Inputs"),  # pyright: ignore[reportArgumentType]
    "plain_tuple": (lambda p: (Inputs(),), "got a tuple"),
    "nothing": (lambda p: None, "got a NoneType"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WRONG)
def test_a_declaration_that_makes_no_sense(name: str) -> None:
    products, message = WRONG[name]
    cell_type = type("Wrong", (Leaky,), {"products": nn.nowrap(lambda self, p: products(p))})
    with pytest.raises((TypeError, ValueError), match=message):
        nn.init(unroll, cell_type(4))(jax.random.key(0), jnp.ones((2, 5, 3)))


def test_parameters_of_the_arithmetic_are_named() -> None:
    cell_type = type("Wrong", (Leaky,), {"pointwise_params": ("scale",)})
    with pytest.raises(ValueError, match="'scale' is none of kernel, bias"):
        nn.init(unroll, cell_type(4))(jax.random.key(0), jnp.ones((2, 5, 3)))


@pytest.mark.parametrize(
    "use", [lambda b: -b, lambda b: b * 2.0, jnp.exp, lambda b: b == 0, np.exp]
)
def test_an_undeclared_parameter_says_so_whatever_is_done_with_it(use: Any) -> None:
    def pointwise(self: Any, params: Any, carry: Any, products: Any) -> Any:
        return carry, products * use(params.bias)

    cell_type = type("Wrong", (Leaky,), {"pointwise": nn.nowrap(pointwise)})
    with pytest.raises(ValueError, match=r"reads params.bias, which Wrong\.pointwise_params"):
        nn.init(unroll, cell_type(4))(jax.random.key(0), jnp.ones((2, 5, 3)))


@pytest.mark.parametrize("cell_type", [GRUCell, MGUCell])
def test_arithmetic_that_would_never_be_read_is_refused(cell_type: Any) -> None:
    own = type("Own", (cell_type,), {"pointwise": nn.nowrap(lambda self, *args: 1 / 0)})
    with pytest.raises(ValueError, match="with reset_after=True alone; override step"):
        nn.init(unroll, own(4))(jax.random.key(0), jnp.ones((2, 5, 3)))
