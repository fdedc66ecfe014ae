"""A convolution as one product with its patches: what JAX's own is, with all derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells.linear import _convolve, _multiply_patches
from tests.cases import assert_close

RNG = np.random.default_rng(0)
SHAPES = [((7,), (3,)), ((5,), (4,)), ((6, 5), (3, 2)), ((2, 2), (5, 5)), ((4, 3, 2), (3, 1, 2))]


def derive(convolve: Callable[..., jax.Array], image: jax.Array, kernel: jax.Array) -> Any:
    """Returns the values, and the gradients of a function of them, by image and by kernel."""

    def total(image: jax.Array, kernel: jax.Array) -> jax.Array:
        values = convolve(image, kernel)
        return (
            jnp.sin(values) * jnp.arange(values.size, dtype=values.dtype).reshape(values.shape)
        ).sum()

    return convolve(image, kernel), jax.grad(total, (0, 1))(image, kernel)


@pytest.mark.parametrize(("space", "extents"), SHAPES)
def test_both_forms_agree(space: tuple[int, ...], extents: tuple[int, ...], x64: None) -> None:
    image = jnp.asarray(RNG.normal(size=(3, *space, 4)))
    kernel = jnp.asarray(RNG.normal(size=(*extents, 4, 6)))
    assert_close(derive(_multiply_patches, image, kernel), derive(_convolve, image, kernel), 1e-12)
