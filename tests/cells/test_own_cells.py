"""What a cell of a user's own is told that is not as it must be: its name, its line, what to do."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest

from rnnjax import classifier
from rnnjax.cells import CELLS, Cell
from rnnjax.config import ModelConfig
from rnnjax.errors import ConfigError
from rnnjax.recurrent.unroll import unroll
from tests.cases import assert_close


class Carry(NamedTuple):
    hidden: Any


class Params(NamedTuple):
    kernel: Any
    bias: Any


class Plain(Cell):
    """Right, and what the others are made from."""

    carry_type = Carry
    source = "nobody"

    @nn.compact
    def parameters(self, num_inputs: int) -> Params:
        kernel = self.weight("kernel", self.kernel_init, num_inputs + self.features, self.features)
        return Params(kernel, self.weight("bias", self.bias_init, self.features))

    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> Any:
        hidden = jnp.tanh(products)
        return Carry(hidden), hidden


def returning(name: str, results: Callable[[Any], Any]) -> type[Cell]:
    """Returns a cell whose arithmetic returns something else."""

    def pointwise(self: Any, params: Any, carry: Any, products: Any) -> Any:
        return results(jnp.tanh(products))

    return type(name, (Plain,), {"pointwise": nn.nowrap(pointwise)})


class Narrow(Plain):
    @nn.compact
    def parameters(self, num_inputs: int) -> Params:
        kernel = self.weight("kernel", self.kernel_init, num_inputs, self.features)
        return Params(kernel, self.weight("bias", self.bias_init, self.features))


class StepForgotten(Plain):
    @nn.nowrap
    def step(self, params: Any, carry: Any, inputs: Any) -> Any:
        del params, carry, inputs


class OtherNames(Plain):
    @nn.compact
    def parameters(self, num_inputs: int) -> Any:
        weights = self.weight("weights", self.kernel_init, num_inputs, self.features)
        return NamedTuple("Params", [("weights", Any)])(weights)


class WithoutArithmetic(Cell):
    carry_type = Carry
    source = "nobody"
    parameters = Plain.parameters


class WithoutParameters(Cell):
    carry_type = Carry
    source = "nobody"


class WithoutCarry(Plain):
    carry_type = None


def misshapen(hidden: Any) -> Any:
    return Carry(hidden), hidden + jnp.ones(5)


def branching(hidden: Any) -> Any:
    return (Carry(hidden), hidden) if hidden.mean() > 0 else (Carry(-hidden), -hidden)


RETURNED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Nothing": (lambda h: None, "must return the new carry and the output, got nothing"),
    "HiddenAlone": (lambda h: h, r"the new carry and the output, got one array of shape \(2, 4\)"),
    "CarryAlone": (lambda h: Carry(h), "must return the new carry and the output, got a Carry"),
    "NoNamedCarry": (lambda h: (h, h), "must return a Carry as the new carry, got one array"),
    "WideCarry": (
        lambda h: (Carry(jnp.concatenate([h, h], -1)), h),
        r"must leave carry\.hidden as float32\[2, 4\], got float32\[2, 8\]",
    ),
    "OtherDtype": (
        lambda h: (Carry(h.astype(jnp.bfloat16)), h),
        r"must leave carry\.hidden as float32\[2, 4\], got bfloat16",
    ),
    "NoOutput": (lambda h: (Carry(h), None), "must return an array as the output, got nothing"),
    "TwoOutputs": (lambda h: (Carry(h), (h, h)), "an array as the output, got a tuple"),
    "WideOutput": (
        lambda h: (Carry(h), jnp.concatenate([h, h], -1)),
        r"output of shape \(2, 4\), that of carry\.hidden .*, got float32\[2, 8\]",
    ),
}


def make_parameters(cell: nn.RNNCellBase) -> Any:
    return nn.init(unroll, cell)(jax.random.key(0), jnp.ones((2, 3, 5)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", RETURNED)
def test_what_a_step_returns(name: str) -> None:
    results, message = RETURNED[name]
    cell_type = returning(name, results)
    line = inspect.getsourcelines(cell_type.pointwise)[1]
    with pytest.raises(ValueError, match=rf"^{name}\.pointwise \({__file__}:{line}\) .*{message}"):
        make_parameters(cell_type(4))


@pytest.mark.usefixtures("unchecked")
def test_an_output_apart_from_the_carry_is_an_array() -> None:
    cell_type: Any = returning("Apart", lambda h: (Carry(h), None))
    cell_type.output_field = None
    with pytest.raises(ValueError, match=r"Apart\.pointwise .* must return an array as the o"):
        make_parameters(cell_type(4))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("cell_type", "message"),
    [
        (StepForgotten, r"^StepForgotten\.step \(.*test_own_cells\.py:\d+\) must return"),
        (Narrow, r"a kernel of shape \(5, 4\) cannot multiply the 9 features of inputs and hidden"),
        (OtherNames, r"has no method products, .* named kernel and bias: it has weights$"),
        (WithoutArithmetic, rf"^WithoutArithmetic \({__file__}:\d+\) has neither a pointwise nor"),
        (WithoutParameters, rf"^WithoutParameters \({__file__}:\d+\) has no method parameters"),
        (WithoutCarry, r"WithoutCarry\.carry_type must be a NamedTuple of arrays .*, got None"),
    ],
)
def test_what_a_class_lacks(cell_type: Any, message: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=message):
        make_parameters(cell_type(4))


def with_pointwise(name: str, pointwise: Callable[..., Any]) -> type[Cell]:
    return type(name, (Plain,), {"pointwise": nn.nowrap(lambda self, *a: pointwise(*a))})


@pytest.mark.parametrize(
    "read",
    [
        jax.jit(lambda params: 1.0),
        lambda params: sum(leaf.sum() for leaf in jax.tree.leaves(params)),
        lambda params: jnp.sum(jax.tree.leaves(params)[0]),
        optax.tree.norm,
    ],
)
def test_parameters_that_are_not_declared(read: Callable[[Any], Any]) -> None:
    """However they are read, nothing is computed without them."""

    def pointwise(params: Any, carry: Any, products: Any) -> Any:
        del carry
        hidden = jnp.tanh(products) * read(params)
        return Carry(hidden), hidden

    cell_type: Any = with_pointwise("Reader", pointwise)
    with pytest.raises((ValueError, TypeError), match=r"Reader\.pointwise reads params\.|Undecl"):
        make_parameters(cell_type(4))


@jax.jit
def compiled(params: Any, carry: Any, products: Any) -> Any:
    hidden = jnp.tanh(products)
    return Carry(hidden), hidden


def test_arithmetic_under_jit() -> None:
    """With what it reads alone; a method is refused, for its cell."""
    cell_type: Any = with_pointwise("Jitted", lambda _, *rest: compiled(None, *rest))
    plain: Any = Plain
    variables, x = make_parameters(plain(4)), jnp.ones((2, 3, 5))
    outputs = [nn.apply(unroll, cell(4))(variables, x).outputs for cell in (cell_type, plain)]
    assert_close(outputs[0], outputs[1], 1e-6)
    with pytest.raises(TypeError, match=r"Jitted\.pointwise must not be under jax\.jit"):
        type("Jitted", (Plain,), {"pointwise": nn.nowrap(jax.jit(Plain.pointwise))})


def test_a_value_without_a_type_is_no_field() -> None:
    with pytest.raises(TypeError, match=r"mu = 0\.5 is no field .*: write `mu: float = 0\.5`"):
        type("Untyped", (Plain,), {"mu": 0.5})
    type("Constant", (Plain,), {"GATES": 3, "_private": 1, "source": "somebody"})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "results", "message"),
    [
        ("Misshapen", misshapen, r"^Misshapen, .*test_own_cells\.py:\d+: .*\(5,\)"),
        ("Branching", branching, r"^Branching, .*test_own_cells\.py:\d+: .*boolean"),
        ("Nothing", lambda h: None, r"^Nothing\.pointwise \(.*test_own_cells\.py:\d+\) must"),
    ],
)
def test_a_run_names_the_cell_and_its_line(
    name: str, results: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell_type = returning(name, results)
    monkeypatch.setitem(CELLS, "own", cell_type)
    with pytest.raises(ConfigError, match=message):
        classifier.build(ModelConfig(cell="own", hidden_size=4), 10, 28)
