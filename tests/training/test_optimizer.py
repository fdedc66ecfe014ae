"""Norms and clipping where squares overflow."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnjax.training.optimizer import clip_by_global_norm, global_norm

LARGEST = float(np.finfo(np.float32).max)


def draw(scale: float) -> Any:
    rng = np.random.default_rng(0)
    leaves = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5)}
    return jax.tree.map(lambda leaf: jnp.asarray(scale * leaf, jnp.float32), leaves)


def reference_norm(tree: Any) -> float:
    return float(np.sqrt(sum((np.float64(leaf) ** 2).sum() for leaf in jax.tree.leaves(tree))))


@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-20, 1.0, 1e18, 1e30, 1e37])
def test_the_norm_of_any_scale(scale: float) -> None:
    gradients = draw(scale)
    np.testing.assert_allclose(global_norm(gradients), reference_norm(gradients), rtol=1e-6)


def test_the_norm_of_nothing_and_of_too_much() -> None:
    assert global_norm(draw(0.0)) == 0
    assert np.isinf(global_norm({"a": jnp.full(9, LARGEST)}))
    for wrong in (np.nan, np.inf):
        assert not np.isfinite(global_norm({"a": jnp.array([1.0, wrong])}))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e18, 1e30, LARGEST / 10])
def test_clipping_keeps_the_direction(scale: float) -> None:
    gradients = draw(scale)
    clipped, _ = clip_by_global_norm(0.5).update(gradients, optax.EmptyState())
    norm = reference_norm(gradients)
    factor = min(1.0, 0.5 / norm)
    for actual, before in zip(jax.tree.leaves(clipped), jax.tree.leaves(gradients), strict=True):
        expected = factor * np.float64(before)
        np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-37)


def test_clipping_of_too_much_keeps_the_direction() -> None:
    """The norm itself is more than a float32 can be."""
    clipped, _ = clip_by_global_norm(1.0).update({"a": jnp.full(16, LARGEST)}, optax.EmptyState())
    np.testing.assert_allclose(clipped["a"], 0.25, rtol=1e-6)  # pyright: ignore[reportIndexIssue, reportArgumentType, reportCallIssue]


def test_what_needs_no_clipping_keeps_its_bits() -> None:
    gradients = draw(1e-3)
    clipped, _ = clip_by_global_norm(1.0).update(gradients, optax.EmptyState())
    jax.tree.map(np.testing.assert_array_equal, clipped, gradients)


def test_complex_gradients() -> None:
    gradients = {"a": jnp.array([3 + 4j, 0], jnp.complex64), "b": jnp.ones(3)}
    np.testing.assert_allclose(global_norm(gradients), math.sqrt(28), rtol=1e-6)
    clipped: Any
    clipped, _ = clip_by_global_norm(1.0).update(gradients, optax.EmptyState())
    for name, leaf in gradients.items():
        assert clipped[name].dtype == leaf.dtype
        np.testing.assert_allclose(clipped[name], leaf / math.sqrt(28), rtol=1e-6)


@pytest.mark.parametrize(
    "dtypes",
    [(), ("float16",), ("float16", "bfloat16"), ("bfloat16", "float32"), ("float32", "float64")],
    ids="+".join,
)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e200])
@pytest.mark.usefixtures("x64")
def test_gradients_of_any_types(scale: float, dtypes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    gradients = {}
    for dtype in dtypes:
        fits = scale < 1e5 or dtype == "float64"
        gradients[dtype] = jnp.asarray(fits * scale * rng.uniform(1, 2, size=5), dtype)
    norm = scale * math.hypot(*(float(x) / (scale or 1) for g in gradients.values() for x in g))
    np.testing.assert_allclose(global_norm(gradients), norm, rtol=1e-6)
    clipped: Any
    clipped, _ = clip_by_global_norm(1.0).update(gradients, optax.EmptyState())
    factor = 1 / max(norm, 1.0)
    for dtype, leaf in gradients.items():
        assert clipped[dtype].dtype == dtype
        expected = np.asarray(leaf, float) * factor
        np.testing.assert_allclose(np.asarray(clipped[dtype], float), expected, rtol=1e-2)
