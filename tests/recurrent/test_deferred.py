"""The deferred gradient against the plain scan of the same cell."""

import functools
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS, DropoutCell, GRUCell, LSTMCell, ResidualCell
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll
from tests.cases import STEPS, Example, assert_close, build, example, jit_unoptimized, label
from tests.references import CASES
from tests.references.common import Case

# As they are by default. The others' arithmetic after the products has parameters of its own, or
# their step is not products and then arithmetic.
DEFERRED = {
    *("rnn", "lstm", "coupled_lstm", "weight_norm_lstm", "ugrnn", "intersection_rnn", "nas", "cfn"),
    *("qrnn", "glstm", "slstm", "min_gru", "min_lstm"),
    *("conv_lstm_1d", "conv_lstm_2d", "conv_lstm_3d"),
}
EACH_DEFERRED = [
    *(Case(name, {}) for name in sorted(DEFERRED)),
    Case("gru", {"reset_after": True}),
    Case("mgu", {"reset_after": True}),
]
LENGTHS = np.array([4, 0, STEPS], np.int32)
VARIANTS = ({}, {"reverse": True}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "reverse": True})


def is_deferred(cell: Any, given: Any) -> bool:
    return "scan_deferred" in str(jax.make_jaxpr(functools.partial(deferred, cell))(*given))


def plain(
    cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **options: Any
) -> Any:
    """Unrolls a cell with nothing but `jax.lax.scan`: outputs `[T, B, H]` and the last carry."""
    lengths, reverse = options.get("lengths"), options.get("reverse", False)
    num_steps, batch_size = inputs.shape[1], inputs.shape[0]
    ends = jnp.full(batch_size, num_steps, jnp.int32) if lengths is None else lengths

    def step(carry: Any, now: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        x, t = now
        result: Any = cell.apply(variables, carry, x)
        new_carry, outputs = result
        keep: Any = t < ends

        def where(new: Any, old: Any) -> jax.Array:
            return jnp.where(keep.reshape(keep.shape + (1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(where, new_carry, carry), where(outputs, jnp.zeros_like(outputs))

    times = (jnp.swapaxes(inputs, 0, 1), jnp.arange(num_steps, dtype=jnp.int32))
    carry, outputs = jax.lax.scan(step, carry, times, reverse=reverse)
    return outputs, carry


def deferred(
    cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **options: Any
) -> Any:
    run = nn.apply(functools.partial(unroll, initial_carry=carry, **options), cell)
    outputs, carry = run(variables, inputs)
    return jnp.swapaxes(outputs, 0, 1), carry


def loss(run: Any, cell: nn.RNNCellBase, *arguments: Any, **options: Any) -> Any:
    leaves = jax.tree.leaves(run(cell, *arguments, **options))
    sums = (jnp.sin(leaf + n).sum() for n, leaf in enumerate(leaves))
    return sum((total.astype(leaves[-1].dtype) for total in sums), 0.0)


def assert_alike(both: Iterable[Any], tolerance: float) -> None:
    actual, expected = both
    assert_close(actual, expected, tolerance)


def check_gradients(cell: Any, given: Any, options: dict[str, Any], tolerance: float) -> None:
    def derive(run: Any) -> Any:
        return jax.value_and_grad(functools.partial(loss, run, cell, **options), (0, 1, 2))

    both = jit_unoptimized(lambda *given: [derive(run)(*given) for run in (deferred, plain)])
    assert_alike(both(*given), tolerance)


@pytest.mark.parametrize("name", CELLS)
def test_which_cells_are_deferred(name: str) -> None:
    cell = build(Case(name, {}))
    assert is_deferred(cell, example(cell, "float32")) == (name in DEFERRED)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("case", "options"),
    [
        (case, options)
        for case in EACH_DEFERRED
        for options in (VARIANTS if case.name in ("lstm", "gru") else VARIANTS[::3])
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else label(value),
)
def test_gradients_equal_the_plain_scans(
    case: Case, dtype: str, options: dict[str, Any], x64: None
) -> None:
    cell = build(case, param_dtype=dtype)
    given = example(cell, dtype)
    assert is_deferred(cell, given)
    check_gradients(cell, given, options, 1e-5 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("case", [case for case in CASES if case.options], ids=label)
def test_options(case: Case, x64: None) -> None:
    """Deferred or not, `unroll` has the gradients of the plain scan."""
    cell = build(case, param_dtype="float64")
    check_gradients(cell, example(cell, "float64"), VARIANTS[-1], 1e-11)


@pytest.mark.parametrize("one", ["T", "B", "H", "TBH"])
@pytest.mark.parametrize("case", EACH_DEFERRED, ids=label)
def test_one_of_everything(case: Case, one: str, x64: None) -> None:
    """One step, one example, one unit where a cell can have that, and all together."""
    alone = "H" in one and case.name not in ("glstm", "slstm")
    cell = build(case, param_dtype="float64", **({"features": 1} if alone else {}))
    variables, carry, inputs = example(cell, "float64")
    lengths = LENGTHS
    if "T" in one:
        inputs, lengths = inputs[:, :1], np.minimum(lengths, 1)
    if "B" in one:
        carry = jax.tree.map(lambda leaf: leaf[:1], carry)
        inputs, lengths = inputs[:1], lengths[:1]
    given: Any = Example(variables, carry, inputs)
    check_gradients(cell, given, {"lengths": lengths, "reverse": True}, 1e-11)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_bfloat16_products(name: str) -> None:
    """A weight's gradient is rounded once more than the scan's, to 8 bits: two steps at most."""
    options: dict[str, Any] = {"reset_after": True} if name == "gru" else {}
    cell = build(Case(name, options), param_dtype="float32", dtype=jnp.bfloat16)
    given = example(cell, "float32")
    assert is_deferred(cell, given)
    actual, expected = (
        jit_unoptimized(jax.grad(functools.partial(loss, run, cell)))(*given)["params"]
        for run in (deferred, plain)
    )
    for path, leaf in actual.items():
        scale = np.abs(expected[path]).max()
        np.testing.assert_allclose(leaf / scale, expected[path] / scale, rtol=0, atol=2**-7)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_other_derivatives(name: str, x64: None) -> None:
    """Forward mode, second derivatives in both orders, and examples mapped one by one."""
    options: dict[str, Any] = {"reset_after": True} if name == "gru" else {}
    cell = build(Case(name, options), param_dtype="float64", features=2)
    variables, carry, inputs = example(cell, "float64")
    given: Any = Example(variables, carry, inputs[:, :3])
    many = jnp.stack([given.inputs, 2 * given.inputs])

    def derive(run: Any) -> Any:
        run = functools.partial(loss, run, cell)
        return (
            jax.jvp(run, given, jax.tree.map(jnp.cos, given)),
            jax.jacfwd(jax.jacrev(run))(*given),
            jax.jacrev(jax.jacrev(run))(*given),
            jax.vmap(jax.grad(run, 2), (None, None, 0))(given.variables, given.carry, many),
        )

    assert_alike(jit_unoptimized(lambda: [derive(run) for run in (deferred, plain)])(), 1e-11)


def test_layers_and_idle_dropout_are_deferred_too(x64: None) -> None:
    layers = [
        LSTMCell(4, param_dtype="float64"),
        DropoutCell(GRUCell(3, reset_after=True, param_dtype="float64"), output_keep_prob=1.0),
        DropoutCell(LSTMCell(4, param_dtype="float64"), input_keep_prob=0.5, deterministic=True),
    ]
    cell = Stack(layers, between_keep_prob=0.5, deterministic=True)
    given = example(cell, "float64")
    check_gradients(cell, given, {"lengths": LENGTHS}, 1e-11)
    assert is_deferred(cell, given)


WITHOUT = {
    "dropout": (DropoutCell(LSTMCell(4), output_keep_prob=0.5), "drops at random"),
    "residual": (ResidualCell(LSTMCell(3)), "no rnnjax.cells.Cell"),
    "flax": (nn.LSTMCell(4), "no rnnjax.cells.Cell"),
    "gru": (GRUCell(4), "its step is given as a whole"),
    "peepholes": (LSTMCell(4, use_peepholes=True), r"parameters of its own \(peepholes\)"),
    "projection": (LSTMCell(4, projection_size=2), r"parameters of its own \(projection\)"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_cannot_be_had_says_why(name: str) -> None:
    cell, why = WITHOUT[name]
    run = functools.partial(unroll, implementation="deferred")
    with pytest.raises(
        ValueError, match=f"'deferred' cannot be had for {type(cell).__name__}.*{why}"
    ):
        nn.init(run, cell)(jax.random.key(0), jnp.ones((2, 5, 3)))


@pytest.mark.parametrize("options", [{"remat": True}, {"truncate_every": 2}], ids="+".join)
def test_chunks_are_the_scans_alone(options: dict[str, Any]) -> None:
    run = functools.partial(unroll, implementation="deferred", **options)
    with pytest.raises(ValueError, match="remat and truncate_every are the scan's alone"):
        nn.init(run, LSTMCell(4))(jax.random.key(0), jnp.ones((2, 5, 3)))


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_implementation_is_named() -> None:
    wrong: Any = "fast"
    with pytest.raises(ValueError, match=r"implementation must be 'auto' or .*, got 'fast'"):
        nn.init(functools.partial(unroll, implementation=wrong), LSTMCell(4))(
            jax.random.key(0), jnp.ones((2, 5, 3))
        )


def test_the_gradient_of_the_weights_is_one_product_after_the_loop() -> None:
    cell = LSTMCell(4)
    given = example(cell, "float32")
    gradient = jax.make_jaxpr(jax.grad(functools.partial(loss, deferred, cell)))(*given)
    rows, columns = given.variables["params"]["kernel"].shape
    parts = {(rows - 4, columns), (4, columns)}  # of x and of h
    loops = [eqn for eqn in gradient.eqns if eqn.primitive.name == "scan"]
    assert len(loops) == 2
    for loop in loops:
        inner = {
            tuple(sorted(variable.aval.shape))
            for eqn in loop.params["jaxpr"].eqns
            for variable in eqn.outvars
        }
        assert not inner & {*parts, (rows, columns)}
    products = [eqn for eqn in gradient.eqns if eqn.primitive.name == "dot_general"]
    assert parts <= {tuple(sorted(eqn.outvars[0].aval.shape)) for eqn in products}
