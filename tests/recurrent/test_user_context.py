"""unroll under a user's own settings of JAX and in flax's and JAX's transformations."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core.scope import in_filter
from jax import export

from rnnjax.cells import CELLS, HighwayCell, LSTMCell, ResidualCell
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import INPUT_SHAPES, UNITS, WRAPPED, assert_close, build, label, run
from tests.references import CASES
from tests.references.common import Case

INPUTS = jnp.ones((3, 7, UNITS))


class SowingLSTMCell(LSTMCell):
    """Sows what it puts out, and the forget gate, which only the arithmetic sees."""

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        carry, outputs = super().__call__(carry, inputs)
        self.sow("intermediates", "outputs", outputs)
        self.sow("figures", "norms", jnp.linalg.norm(outputs, axis=-1))
        return carry, outputs


class SowingInPointwiseCell(LSTMCell):
    @nn.nowrap
    def pointwise(self, params: Any, carry: Any, products: Any) -> tuple[Any, jax.Array]:
        self.sow("intermediates", "forget", products[2])
        return super().pointwise(params, carry, products)


def derive(cell: nn.RNNCellBase, inputs: jax.Array, **options: Any) -> None:
    """Traces parameters, outputs, carries and the gradient of a cell over time."""
    lengths = jnp.asarray([7, 3, 0])
    keys = {name: jax.random.key(0) for name in ("params", "dropout", "zoneout", "variational")}

    def everything(inputs: jax.Array) -> Any:
        variables = nn.init(unroll, cell)(keys, inputs)

        def total(variables: Any) -> jax.Array:
            unrolled = nn.apply(unroll, cell)(
                variables, inputs, lengths=lengths, rngs=keys, **options
            )
            return sum(
                (leaf.sum(dtype=jnp.float32) for leaf in jax.tree.leaves(unrolled)), jnp.zeros(())
            )

        return jax.grad(total)(variables)

    jax.eval_shape(everything, inputs)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_no_cell_needs_rank_promotion(case: Case) -> None:
    cell = build(case)
    inputs = jnp.ones((3, 7, *INPUT_SHAPES[cell.num_feature_axes]))
    with jax.numpy_rank_promotion("raise"):
        derive(cell, inputs)


@pytest.mark.parametrize("name", WRAPPED)
def test_no_wrapper_needs_rank_promotion(name: str) -> None:
    with jax.numpy_rank_promotion("raise"):
        derive(WRAPPED[name], INPUTS)


@pytest.mark.parametrize(
    "options",
    [
        {"mask": np.ones((3, 7), bool), "resets": np.ones((3, 7), bool)},
        {"remat": True},
        {"implementation": "scan"},
        {"truncate_every": 3, "return_outputs": "last"},
        {"reverse": True, "return_carry": "all"},
    ],
    ids=lambda options: "-".join(options),
)
def test_no_option_needs_rank_promotion(options: Any) -> None:
    with jax.numpy_rank_promotion("raise"):
        derive(LSTMCell(UNITS), INPUTS, **options)


@pytest.mark.parametrize(
    "options", [{"remat": True}, {"truncate_every": 3}, {"unroll_factor": 3}], ids=str
)
def test_chunks_need_a_known_number_of_steps(options: Any) -> None:
    with pytest.raises(ValueError, match="need a number of steps that is known, got t; export"):
        exported(LSTMCell(UNITS), "2, t, 3", **options)


@pytest.mark.usefixtures("unchecked")  # a symbol that stands for T is no int
@pytest.mark.parametrize("implementation", ["scan", "auto"])
def test_a_program_for_any_number_of_steps(implementation: str) -> None:
    cell = LSTMCell(UNITS)
    variables = nn.init(unroll, cell)(jax.random.key(0), jnp.ones((2, 1, 3)))
    inputs = jax.random.normal(jax.random.key(1), (2, 5, 3))
    lengths = np.asarray([4, 2])
    program = exported(cell, "2, t, 3", lengths=lengths, implementation=implementation)
    expected = run(cell, variables, inputs, lengths=lengths).outputs
    assert_close(program.call(variables, inputs), expected, 1e-6)


def exported(cell: nn.RNNCellBase, shape: str, **options: Any) -> export.Exported:
    variables = nn.init(unroll, cell)(jax.random.key(0), jnp.ones((2, 1, 3)))
    inputs: Any = jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)

    @jax.jit
    def outputs(variables: Any, inputs: jax.Array) -> jax.Array:
        return nn.apply(unroll, cell)(variables, inputs, **options).outputs

    return export.export(outputs)(variables, inputs)


@pytest.mark.parametrize("name", CELLS)
def test_no_cell_makes_nan_on_its_way(name: str) -> None:
    """Outside of `jit`, JAX looks at each array, constants of a step included."""
    cell = build(Case(name, {}))
    inputs = np.ones((2, 3, *INPUT_SHAPES[cell.num_feature_axes]), np.float32)
    with jax.debug_nans(True):
        nn.init(unroll, cell)(jax.random.key(0), inputs)


@pytest.mark.parametrize("options", [{}, {"remat": True}, {"implementation": "scan"}], ids=str)
def test_nan_in_the_padding_is_none(options: Any) -> None:
    cell = LSTMCell(UNITS)
    inputs = np.ones((2, 5, 3), np.float32)
    inputs[0, 3:] = np.nan
    variables = nn.init(unroll, cell)(jax.random.key(0), inputs[:, :1])

    def total(variables: Any, lengths: Any) -> jax.Array:
        return nn.apply(unroll, cell)(variables, inputs, lengths=lengths, **options).outputs.sum()

    with jax.debug_nans(True):
        jax.grad(total)(variables, np.asarray([3, 5]))
        with pytest.raises(FloatingPointError):
            total(variables, np.asarray([4, 5]))


@pytest.mark.parametrize(
    "asked", [["figures"], "intermediates", True, nn.DenyList("params")], ids=str
)
def test_what_a_cell_sows_comes_back_for_each_step(asked: Any) -> None:
    cell = SowingLSTMCell(UNITS)
    variables = nn.init(unroll, cell)(jax.random.key(0), INPUTS)
    unrolled, sown = nn.apply(unroll, cell, mutable=asked)(variables, INPUTS)
    wanted = {"intermediates", "figures", "params"}
    assert set(sown) == {name for name in wanted if in_filter(asked, name)}
    outputs = jnp.swapaxes(unrolled.outputs, 0, 1)
    if "intermediates" in sown:
        assert_close(sown["intermediates"]["outputs"][0], outputs, 0)
    if "figures" in sown:
        assert_close(sown["figures"]["norms"][0], jnp.linalg.norm(outputs, axis=-1), 1e-6)


def test_what_a_stack_sows_comes_back() -> None:
    cell = Stack([SowingLSTMCell(UNITS), SowingInPointwiseCell(UNITS)])
    variables = nn.init(unroll, cell)(jax.random.key(0), INPUTS)
    _, sown = nn.apply(unroll, cell, mutable=["intermediates"])(variables, INPUTS)
    shapes = jax.tree.map(jnp.shape, sown["intermediates"])
    each = ((7, 3, UNITS),)
    assert shapes == {"cells_0": {"outputs": each}, "cells_1": {"forget": each}}


@pytest.mark.parametrize(
    "cell",
    [SowingLSTMCell(UNITS), SowingInPointwiseCell(UNITS)],
    ids=lambda cell: type(cell).__name__,
)
@pytest.mark.parametrize("options", [{"remat": True}, {"truncate_every": 3}], ids=str)
def test_what_a_cell_sows_in_chunks_is_refused(cell: nn.RNNCellBase, options: Any) -> None:
    variables = nn.init(unroll, cell)(jax.random.key(0), INPUTS, **options)
    nn.apply(unroll, cell)(variables, INPUTS, **options)
    with pytest.raises(ValueError, match="sows 'intermediates', which unroll returns"):
        nn.apply(unroll, cell, mutable=["intermediates"])(variables, INPUTS, **options)


class Again(nn.Module):
    """Steps a cell once, then runs it over sequences of several lengths, inside another cell."""

    def setup(self) -> None:
        self.inner = SowingLSTMCell(UNITS)
        self.cells = [HighwayCell(self.inner), ResidualCell(self.inner)]

    def __call__(self, inputs: jax.Array, **options: Any) -> list[jax.Array]:
        carry = self.inner.initialize_carry(jax.random.key(0), inputs[:, 0].shape)
        outputs = [self.inner(carry, inputs[:, 0])[1][:, None]]
        for cell, steps in ((self.cells[0], 5), (self.cells[1], 3), (self.inner, 7)):
            outputs.append(unroll(cell, inputs[:, :steps], **options).outputs)
        return outputs


def test_what_is_sown_again_is_appended() -> None:
    model: Any = Again()
    variables = {"params": model.init(jax.random.key(0), INPUTS)["params"]}
    outputs, sown = model.apply(variables, INPUTS, mutable=["intermediates", "figures"])
    each = sown["intermediates"]["inner"]["outputs"]
    assert [leaf.shape for leaf in each] == [(3, 4), (5, 3, 4), (3, 3, 4), (7, 3, 4)]
    assert_close(each[0], outputs[0][:, 0], 0)
    assert_close(each[3], jnp.swapaxes(outputs[3], 0, 1), 0)
    norms = [jnp.linalg.norm(leaf, axis=-1) for leaf in each]
    assert_close(list(sown["figures"]["inner"]["norms"]), norms, 1e-6)
    _, captured = model.apply(variables, INPUTS, capture_intermediates=True)
    assert len(captured["intermediates"]["cells_1"]["__call__"]) == 1


class SummingCell(LSTMCell):
    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        add: Any = {"init_fn": lambda: 0.0, "reduce_fn": lambda a, b: a + b}
        self.sow("intermediates", "sum", inputs.sum(), **add)
        return super().__call__(carry, inputs)


def test_what_a_user_adds_up_has_as_many_steps() -> None:
    cell = SummingCell(UNITS)
    variables = nn.init(unroll, cell)(jax.random.key(0), INPUTS)

    def run(cell: nn.RNNCellBase, *lengths: int) -> None:
        for length in lengths:
            unroll(cell, INPUTS[:, :length])

    apply = nn.apply(run, cell, mutable=["intermediates"])
    _, sown = apply(variables, 5, 5)
    assert_close(sown["intermediates"]["sum"], jnp.full(5, 2 * 3.0 * UNITS), 1e-6)
    with pytest.raises(ValueError, match=r"SummingCell has sown 'intermediates/sum'.* 3 steps"):
        apply(variables, 5, 3)


def test_captured_intermediates_are_those_of_each_step() -> None:
    cell = LSTMCell(UNITS)
    variables = nn.init(unroll, cell)(jax.random.key(0), INPUTS)
    apply = nn.apply(unroll, cell, capture_intermediates=True)
    unrolled, captured = apply(variables, INPUTS)
    (_, outputs) = captured["intermediates"]["__call__"][0]
    assert_close(outputs, jnp.swapaxes(unrolled.outputs, 0, 1), 0)
