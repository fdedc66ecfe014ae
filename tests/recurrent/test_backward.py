"""What `unroll` does to gradients: rematerialised, truncated, unrolled in part."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.recurrent.unroll import unroll
from tests.cases import STEPS, Example, assert_close, build, example, jit_unoptimized
from tests.references.common import Case

LAYERS = [Case("lstm", {"projection_size": 3}), Case("gru", {})]
FACTORED_LAYERS = [
    Case("lstm", {}),
    Case("gru", {"reset_after": True}),
]
LENGTHS = np.array([4, 0, STEPS])


def loss_and_gradients(
    given: Example, layers: Sequence[Case] = LAYERS, **options: Any
) -> tuple[Any, Any]:
    """Returns the sum of all outputs' and carries' squares, and its gradients."""
    cell = build(*layers, param_dtype="float64")

    @jit_unoptimized
    @jax.value_and_grad
    def run_loss(given: Example) -> jax.Array:
        variables, carry, inputs = given
        result = nn.apply(unroll, cell)(variables, inputs, initial_carry=carry, **options)
        return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(result)]))

    return run_loss(given)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("options", [{"remat": True}, {"unroll_factor": 3}])
@pytest.mark.parametrize("layers", [LAYERS, FACTORED_LAYERS], ids=["plain", "factored"])
@pytest.mark.usefixtures("x64")
def test_same_gradients(
    layers: Sequence[Case], options: dict[str, Any], lengths: Any, reverse: bool
) -> None:
    given = example(build(*layers, param_dtype="float64"), "float64")
    direction: dict[str, Any] = {"lengths": lengths, "reverse": reverse}
    expected = loss_and_gradients(given, layers, **direction)
    assert_close(loss_and_gradients(given, layers, **direction, **options), expected)


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("truncate_every", [1, 3, STEPS, 10])  # 3 leaves an incomplete chunk
@pytest.mark.usefixtures("x64")
def test_truncated_gradients(truncate_every: int, reverse: bool, remat: bool) -> None:
    cell = build(*LAYERS, param_dtype="float64")
    given = example(cell, "float64")

    @jit_unoptimized
    @jax.value_and_grad
    def run_chunks(given: Example) -> jax.Array:
        variables, carry, inputs = given
        starts = range(0, STEPS, truncate_every)
        squares, of_carry = [], []
        for start in reversed(starts) if reverse else starts:
            chunk = inputs[:, start : start + truncate_every]
            outputs, carry = nn.apply(unroll, cell)(
                variables, chunk, initial_carry=carry, reverse=reverse
            )
            squares.append(jnp.sum(outputs**2))
            of_carry = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(carry)]
            carry = jax.lax.stop_gradient(carry)
        squares += of_carry
        return jnp.sum(jnp.stack(squares))

    actual = loss_and_gradients(given, reverse=reverse, truncate_every=truncate_every, remat=remat)
    assert_close(actual, run_chunks(given))


@pytest.mark.parametrize("options", [{}, {"remat": True}, {"truncate_every": 3}])
@pytest.mark.usefixtures("x64")
def test_last_outputs_have_the_gradients_of_all(options: dict[str, Any]) -> None:
    """Also where the last output that counts lies in an earlier chunk."""
    cell = build(*LAYERS, param_dtype="float64")
    given = example(cell, "float64")

    def loss(given: Example, return_outputs: str) -> jax.Array:
        variables, carry, inputs = given
        outputs, _ = nn.apply(unroll, cell)(
            variables,
            inputs,
            initial_carry=carry,
            lengths=LENGTHS,
            return_outputs=return_outputs,
            **options,
        )
        if return_outputs == "all":
            outputs = outputs[jnp.arange(len(LENGTHS)), jnp.maximum(LENGTHS - 1, 0)]
        return jnp.sum(outputs**2)

    run = jit_unoptimized(jax.value_and_grad(loss), static_argnums=1)
    assert_close(run(given, "last"), run(given, "all"))


@pytest.mark.usefixtures("x64")
def test_short_sequences_backwards_are_not_truncated_before_they_start() -> None:
    """All of theirs lies in one chunk: the initial carry has the gradient it has without chunks."""
    cell = build(*LAYERS, param_dtype="float64")
    given = example(cell, "float64")

    def loss(carry: Any, truncate_every: int | None) -> jax.Array:
        outputs, _ = nn.apply(unroll, cell)(
            given.variables,
            given.inputs,
            initial_carry=carry,
            lengths=np.array([STEPS, 2, 1]),
            reverse=True,
            truncate_every=truncate_every,
            return_outputs="last",
        )
        return jnp.sum(outputs**2)

    truncated, whole = (
        jit_unoptimized(jax.grad(loss), static_argnums=1)(given.carry, n) for n in (3, None)
    )
    for leaf, expected in zip(*map(jax.tree.leaves, (truncated, whole)), strict=True):
        assert_close(leaf[1:], expected[1:])
        assert (expected[1:] != 0).any()
        np.testing.assert_array_equal(leaf[0], 0)


def test_narrow_integers_count_beyond_their_range() -> None:
    cell = build(Case("gru", {}))
    inputs = jnp.ones((1, 300, 6))
    variables = nn.init(unroll, cell)(jax.random.key(0), inputs)
    run = jit_unoptimized(
        lambda lengths: nn.apply(unroll, cell)(variables, inputs, lengths=lengths).outputs
    )
    outputs = run(jnp.array([200], jnp.uint8))
    assert np.count_nonzero(np.any(outputs != 0, axis=-1)) == 200
