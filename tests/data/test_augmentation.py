"""Shifts, flips and erasures: how often and how far, against NumPy; and what they depend on."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rnnjax.config import AugmentationConfig
from rnnjax.data.augmentation import augment, augmentation
from rnnjax.errors import ConfigError
from rnnjax.system.devices import choose

NUMBER = 10_000
KEY = jax.random.key(7)
ALL = AugmentationConfig(max_shift=3, flip_prob=0.5, erase_prob=0.5)


def augmented(image: np.ndarray, config: AugmentationConfig, number: int = NUMBER) -> np.ndarray:
    """Returns what becomes of an image as so many rows of a training split."""
    images = np.broadcast_to(image, (number, *image.shape))
    function = jax.jit(functools.partial(augment, config=config))
    return np.asarray(function(images, jnp.arange(number), KEY, jnp.int32(5)))


def assert_probable(result: Any) -> None:
    assert result.pvalue > 1e-4  # the key is fixed: this holds or not, for ever


def test_shifts_are_uniform_and_bring_black() -> None:
    image = np.zeros((28, 28, 3), np.uint8)
    image[14, 13], image[0, 0] = (1, 2, 255), 9
    most = 3
    results = augmented(image, AugmentationConfig(max_shift=most))
    marker = (results == 255).any(-1).reshape(NUMBER, -1).argmax(1)
    down, right = np.divmod(marker, 28) - np.array([[14], [13]]).repeat(NUMBER, 1)
    counts = np.bincount((down + most) * (2 * most + 1) + right + most, minlength=49)
    assert_probable(stats.chisquare(counts))
    for n in range(50):
        expected = np.zeros((34, 34, 3), np.uint8)
        expected[most + down[n] :, most + right[n] :][:28, :28] = image
        np.testing.assert_array_equal(results[n], expected[most:-most, most:-most])


@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_flips_are_as_frequent_as_asked_for(probability: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)
    results = augmented(image, AugmentationConfig(flip_prob=probability))
    is_flipped = (results == image[:, ::-1]).all((1, 2))
    assert ((results == image).all((1, 2)) != is_flipped).all()
    assert_probable(stats.binomtest(int(is_flipped.sum()), NUMBER, probability))


def drawn_as_in_torchvision(rng: np.random.Generator) -> tuple[int, ...]:
    """`RandomErasing.get_params`, all of whose rectangles fit: up to a quarter of 40 by 20 pixels.

    Returns first row, first column, height and width.
    """
    area = rng.uniform(0.02, 0.25) * 40 * 20
    aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
    # Of an image that is twice as high as wide: in the paper and there it is square.
    height, width = round(np.sqrt(area * aspect * 2)), round(np.sqrt(area / (aspect * 2)))
    return rng.integers(0, 40 - height + 1), rng.integers(0, 20 - width + 1), height, width


def rectangles(results: np.ndarray) -> np.ndarray:
    """Returns the same of the black in white images; fails where it is no rectangle."""
    erased = results == 0
    y, x = erased.any(2), erased.any(1)
    assert (erased == y[:, :, None] & x[:, None, :]).all()
    sides = np.stack([y.sum(1), x.sum(1)])
    firsts = np.stack([y.argmax(1), x.argmax(1)])
    for line, first, side in zip((y, x), firsts, sides, strict=True):
        place = np.arange(line.shape[1])
        assert (line == ((place >= first[:, None]) & (place < (first + side)[:, None]))).all()
    return np.concatenate([firsts, sides])


def test_erasures_are_as_frequent_and_as_large_as_asked_for() -> None:
    image = np.full((40, 20), 255, np.uint8)
    results = augmented(image, AugmentationConfig(erase_prob=0.7, erase_area=0.25))
    is_erased = (results == 0).any((1, 2))
    assert_probable(stats.binomtest(int(is_erased.sum()), NUMBER, 0.7))
    actual = rectangles(results[is_erased])
    rng = np.random.default_rng(0)
    expected = np.array([drawn_as_in_torchvision(rng) for _ in range(NUMBER)]).T
    for mine, others in zip(actual, expected, strict=True):
        assert_probable(stats.ks_2samp(mine, others))
    assert_probable(stats.ks_2samp(actual[2] * actual[3], expected[2] * expected[3]))


def test_erasures_of_any_size_fit() -> None:
    """Where aspects are narrowed down for it, shares stay uniform."""
    image = np.full((100, 100), 255, np.uint8)
    config = AugmentationConfig(erase_prob=1.0, erase_area=1.0)
    number = 2_000
    heights, widths = rectangles(augmented(image, config, number))[2:]
    assert_probable(stats.kstest(heights * widths / 100**2, stats.uniform(0.02, 0.98).cdf))


def test_nothing_asked_for_is_nothing_done() -> None:
    assert augmentation(AugmentationConfig(erase_area=0.5), (28, 28)) is None
    assert augmentation(AugmentationConfig(max_shift=1), (28, 28)) is not None


def test_no_image_is_moved_out_of_sight() -> None:
    assert augmentation(AugmentationConfig(max_shift=7), (8, 32, 3)) is not None
    with pytest.raises(ConfigError, match="max_shift=8 moves images of 8x32 out of sight: at most"):
        augmentation(AugmentationConfig(max_shift=8), (8, 32, 3))


def test_an_image_is_augmented_by_its_row_wherever_it_is() -> None:
    """In any batch, on one device or four; anew at each step and with each key."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (64, 28, 28), np.uint8)
    rows = rng.permutation(10**6)[:64].astype(np.int32)
    function = functools.partial(augment, config=ALL)
    step = jnp.int32(5)
    alone = np.asarray(jax.jit(function)(images, rows, KEY, step))
    order = rng.permutation(64)
    np.testing.assert_array_equal(
        jax.jit(function)(images[order], rows[order], KEY, step), alone[order]
    )
    devices = choose()
    shards = devices.shard((images, rows))
    four: Any = devices.compile_step(function, ())(*shards, *devices.replicate((KEY, step)))
    assert jax.local_device_count() == 4
    np.testing.assert_array_equal(np.concatenate(four), alone)
    for other in ((rows + 1, KEY, step), (rows, jax.random.key(8), step), (rows, KEY, step + 1)):
        assert (jax.jit(function)(images, *other) != alone).any((1, 2)).mean() > 0.9
