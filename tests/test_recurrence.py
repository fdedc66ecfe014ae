"""The fast path of `unroll` against the plain scan of the same cell."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from rnnjax.cells import CELLS, DropoutCell, GRUCell, LSTMCell, ResidualCell
from rnnjax.recurrence import split_cell
from rnnjax.stack import Stack
from rnnjax.unroll import unroll
from tests.cases import assert_close, label
from tests.references import CASES

# Those whose arithmetic after the products has parameters stay on the plain scan.
FAST = {
    "rnn", "gru-reset_after", "lstm", "ugrnn", "intersection_rnn", "weight_norm_lstm",
}  # fmt: skip
SIZES = {"usual": (3, 5, 2, 4), "ones": (1, 1, 1, 1)}  # B, T, F, H
CANDIDATES = [case for case in CASES if CELLS[case.name](4).num_feature_axes == 1]


def primitives(function: Any, *arguments: Any) -> set[str]:
    """Returns the names of all functions with a derivative of their own in a program."""
    return {
        name for name in ("recur",) if f"name={name}" in str(jax.make_jaxpr(function)(*arguments))
    }


def plain(cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **way: Any) -> Any:
    """Unrolls a cell with nothing but `jax.lax.scan`: outputs `[T, B, H]` and the last carry."""
    lengths, reverse = way.get("lengths"), way.get("reverse", False)
    num_steps, batch_size = inputs.shape[1], inputs.shape[0]
    ends = jnp.full(batch_size, num_steps) if lengths is None else lengths

    def step(carry: Any, now: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        x, t = now
        new_carry, outputs = cell.apply(variables, carry, x)
        keep = (t < ends)[:, None]
        carry = jax.tree.map(lambda new, old: jnp.where(keep, new, old), new_carry, carry)
        return carry, jnp.where(keep, outputs, 0)

    times = (jnp.swapaxes(inputs, 0, 1), jnp.arange(num_steps))
    carry, outputs = jax.lax.scan(step, carry, times, reverse=reverse)
    return outputs, carry


def fast(cell: nn.RNNCellBase, variables: Any, carry: Any, inputs: jax.Array, **way: Any) -> Any:
    run = nn.apply(functools.partial(unroll, initial_carry=carry, **way), cell)
    outputs, carry = run(variables, inputs)
    return jnp.swapaxes(outputs, 0, 1), carry


def loss(run: Any, cell: nn.RNNCellBase, *arguments: Any, **way: Any) -> jax.Array:
    leaves = jax.tree.leaves(run(cell, *arguments, **way))
    return sum((jnp.sin(leaf * (n + 1)).sum() for n, leaf in enumerate(leaves)), jnp.zeros(()))


def made(cell: Any, size: tuple[int, ...], dtype: str) -> tuple[Any, Any, jax.Array]:
    """Returns random variables, carry and inputs."""
    batch, time, features, _ = size
    inputs = jnp.zeros((batch, time, features))
    carry = cell.initialize_carry(jax.random.key(0), inputs[:, 0].shape)
    variables = cell.init(jax.random.key(0), carry, inputs[:, 0])
    leaves, structure = jax.tree.flatten((variables, carry, inputs))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [
        jax.random.normal(key, leaf.shape, dtype) for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


@pytest.mark.parametrize("case", CANDIDATES, ids=label)
def test_which_cells_are_fast(case: Any) -> None:
    cell = CELLS[case.name](4, **case.options)
    given = made(cell, SIZES["usual"], "float32")
    used = primitives(functools.partial(fast, cell), *given)
    assert used == ({"recur"} if label(case) in FAST else set())


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [c for c in CASES if label(c) in FAST], ids=label)
def test_gradients_equal_the_plain_scans(
    case: Any, dtype: str, size: tuple[int, ...], x64: None
) -> None:
    cell = CELLS[case.name](size[-1], **case.options, param_dtype=dtype)
    given = made(cell, size, dtype)
    lengths = jnp.arange(size[0]) * size[1] // 2  # 0, ..., T
    for way in ({}, {"reverse": True}, {"lengths": lengths}, {"lengths": lengths, "reverse": True}):
        gradients = [
            jax.jit(jax.value_and_grad(functools.partial(loss, run, cell, **way), (0, 1, 2)))(
                *given
            )
            for run in (fast, plain)
        ]
        assert_close(*gradients, 1e-5 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_other_derivatives(name: str, x64: None) -> None:
    """Forward mode, second derivatives in both orders, and examples mapped one by one."""
    options: dict[str, Any] = {"reset_after": True} if name == "gru" else {}
    cell = CELLS[name](2, param_dtype="float64", **options)
    given = made(cell, (2, 3, 1, 2), "float64")
    tangents = jax.tree.map(jnp.cos, given)
    both = [functools.partial(loss, run, cell) for run in (fast, plain)]
    assert_close(*(jax.jvp(run, given, tangents) for run in both), 1e-11)
    for outer, inner in ((jax.jacfwd, jax.jacrev), (jax.jacrev, jax.jacrev)):
        assert_close(*(jax.jit(outer(inner(run)))(*given) for run in both), 1e-11)
    variables, carry, inputs = given
    many = jnp.stack([inputs, 2 * inputs])
    assert_close(
        *(jax.vmap(jax.grad(run, 2), (None, None, 0))(variables, carry, many) for run in both),
        1e-11,
    )


def test_layers_and_idle_dropout_are_fast_too(x64: None) -> None:
    layers = [
        LSTMCell(4, param_dtype="float64"),
        DropoutCell(GRUCell(3, reset_after=True, param_dtype="float64"), output_keep_prob=1.0),
        DropoutCell(LSTMCell(4, param_dtype="float64"), input_keep_prob=0.5, deterministic=True),
    ]
    cell = Stack(layers, between_keep_prob=0.5, deterministic=True)
    given = made(cell, SIZES["usual"], "float64")
    lengths = jnp.array([5, 0, 2])
    gradients = [
        jax.grad(functools.partial(loss, run, cell, lengths=lengths), (0, 1, 2))(*given)
        for run in (fast, plain)
    ]
    assert_close(*gradients, 1e-11)
    assert primitives(functools.partial(fast, cell), *given) == {"recur"}


def test_what_does_something_is_no_part_of_the_fast_path() -> None:
    assert split_cell(DropoutCell(LSTMCell(4), output_keep_prob=0.5)) is None
    assert split_cell(ResidualCell(LSTMCell(4))) is None
    assert split_cell(GRUCell(4)) is None
    assert split_cell(nn.LSTMCell(4)) is None


def test_the_gradient_of_the_weights_is_one_product_after_the_loop() -> None:
    cell = LSTMCell(4)
    given = made(cell, SIZES["usual"], "float32")
    text = str(jax.make_jaxpr(jax.grad(functools.partial(loss, fast, cell)))(*given))
    # Summed over time and batch, and in no carry of a loop.
    assert "(([0, 1], [0, 1]), ([], []))" in text
    assert "f32[6,16]" not in text.partition("scan[")[2].partition("jaxpr={")[2].split("in (")[-1]
