"""Keys of a part of a batch: what its rows draw is what they draw in the whole batch."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.training.row_keys import key_of_rows
from rnnjax.training.state import keys

KEY = jax.random.key(3)
Draw = Callable[[Any, Sequence[int]], jax.Array]
DRAWS: dict[str, Draw] = {
    "bits": lambda key, shape: jax.random.bits(key, shape),
    "bits of 8": lambda key, shape: jax.random.bits(key, shape, jnp.uint8),
    "bernoulli": lambda key, shape: jax.random.bernoulli(key, 0.3, shape),
    "uniform": lambda key, shape: jax.random.uniform(key, shape),
    "folded, split": lambda key, shape: jax.random.uniform(
        jax.random.split(jax.random.fold_in(key, 5), 3)[1], shape
    ),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("shape", [(8,), (8, 5), (8, 3, 2)])
def test_parts_draw_what_the_whole_draws(draw: Draw, shape: tuple[int, ...]) -> None:
    parts = [draw(key_of_rows(KEY, row), (2, *shape[1:])) for row in range(0, 8, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), draw(KEY, shape))


def test_parts_draw_normal_numbers_of_the_whole() -> None:
    """To rounding: XLA computes arrays of other sizes with other instructions."""
    parts = [jax.random.normal(key_of_rows(KEY, row), (2, 5)) for row in range(0, 8, 2)]
    expected = jax.random.normal(KEY, (8, 5))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-6, atol=1e-6)


def test_a_number_is_the_same_for_all_parts() -> None:
    assert {float(jax.random.uniform(key_of_rows(KEY, row))) for row in (0, 2, 6)} == {
        float(jax.random.uniform(KEY))
    }


def test_wide_bits(x64: None) -> None:
    whole = jax.random.bits(KEY, (4, 3), jnp.uint64)
    part = jax.random.bits(key_of_rows(KEY, 2), (2, 3), jnp.uint64)
    np.testing.assert_array_equal(part, whole[2:])


def test_flax_draws_with_them_under_vmap_and_scan() -> None:
    """As seeds at once and microbatches do."""
    ones = jnp.ones((8, 4))

    def drop(key: jax.Array, row: jax.Array, rows: jax.Array) -> Any:
        own = {"dropout": key_of_rows(key, row)}
        return nn.Dropout(0.5, deterministic=False).apply({}, rows, rngs=own)

    keys = jax.random.split(KEY, 2)
    whole = jax.vmap(lambda key: drop(key, jnp.int32(0), ones))(keys)

    def part(_: None, row: jax.Array) -> tuple[None, jax.Array]:
        return None, jax.vmap(lambda key: drop(key, row, ones[:2]))(keys)

    _, parts = jax.lax.scan(part, None, jnp.arange(0, 8, 2))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(
        whole[0], nn.Dropout(0.5, deterministic=False).apply({}, ones, rngs={"dropout": keys[0]})
    )


def test_a_run_has_the_same_keys_whatever_the_default_implementation_is() -> None:
    """As of those who set JAX's for TPUs, whose own keys have more words."""
    expected = keys(3)
    with jax.default_prng_impl("rbg"):
        of_a_run = keys(3)
        assert jax.random.key_data(key_of_rows(of_a_run[1], 2)).shape == (3,)
    assert (of_a_run[0] == expected[0], of_a_run[1] == expected[1]) == (True, True)
