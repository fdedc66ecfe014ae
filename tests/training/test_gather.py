"""What a report tells of hidden states, against scikit-learn's principal components."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from rnnjax.training.gather import project


def test_the_two_main_directions() -> None:
    random = np.random.default_rng(0)
    states = (random.normal(size=(5, 28, 9)) * np.arange(1, 10)).astype(np.float32)
    points, explained = project(states)
    reference = PCA(2).fit(states.reshape(-1, 9))
    expected = reference.transform(states.reshape(-1, 9)).reshape(5, 28, 2)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(explained, reference.explained_variance_ratio_, rtol=1e-4)


@pytest.mark.parametrize(("units", "value"), [(1, None), (3, 0.5)])
def test_states_without_a_second_direction(units: int, value: float | None) -> None:
    """One unit alone, or states that are all the same."""
    states = np.random.default_rng(0).normal(size=(2, 28, units))
    states = states if value is None else np.full_like(states, value)
    points, explained = project(states)
    assert points.shape == (2, 28, 2)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points[..., 1], 0)
    np.testing.assert_allclose(explained, [value is None, 0], atol=1e-9)
