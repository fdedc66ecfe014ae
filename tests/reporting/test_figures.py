"""Pictures, by the pixels that say something."""

import numpy as np
import pytest

from rnnjax.reporting import figures
from rnnjax.reporting.figures import BLUES, CELL, PAPER, SIDE


def contains(picture: np.ndarray, part: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], part.shape)
    return bool((windows == part).all((2, 3)).any())


def test_a_grid_holds_every_image_and_has_room_for_text() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 12, 12)).astype(np.uint8)
    actual = figures.grid(images, [("is Bag", "taken for Ankle boot")] * 7, columns=5)
    assert actual.dtype == np.uint8
    enlarge = np.ones((SIDE // 12, SIDE // 12), np.uint8)
    for image in images:
        assert contains(actual, np.kron(image, enlarge))
    narrow = figures.grid(images, [("a",)] * 7, columns=5)
    assert actual.shape[0] > narrow.shape[0]
    assert actual.shape[1] > narrow.shape[1]


def test_nothing_to_show() -> None:
    assert figures.grid(np.zeros((0, 12, 12), np.uint8), []).ndim == 3


def test_a_confusion_is_dark_where_most_of_a_row_is() -> None:
    actual = figures.confusion(np.array([[90, 10], [0, 0]]), ["left", "right"])
    corners = actual[-6 - 2 * CELL :: CELL, -6 - 2 * CELL :: CELL][:2, :2] * 1.0
    darkness = 255 - corners.mean(-1)
    assert darkness[0, 0] > darkness[0, 1] > darkness[1, 0] == darkness[1, 1]


@pytest.mark.parametrize("logarithmic", [True, False])
def test_stripes_over_time(logarithmic: bool) -> None:
    values = np.array([[0.001, 0.01, 0.1, 1.0], [0.0, 0.5, 0.5, 1.0]])
    actual = figures.over_time(values, ["one", "two"], "share", logarithmic=logarithmic)
    darkest, lightest = BLUES[-1], BLUES[0]
    assert (actual == darkest).all(-1).any()
    assert (actual == lightest).all(-1).any() or not logarithmic
    assert (actual[-1, -1] == PAPER).all()


def test_stripes_of_nothing_but_zeros() -> None:
    figures.over_time(np.zeros((1, 784)), ["layer_0"], "norm", logarithmic=True)


def test_belief_has_a_row_for_each_of_the_image() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    probabilities = np.eye(4)[:, :3]
    for caption in ((), ("some image", "", "taken for a")):
        actual = figures.belief(image, probabilities, ["a", "b", "c"], caption)
        assert contains(actual, np.kron(image, np.ones((12, 12), np.uint8)))
        assert (actual == BLUES[-1]).all(-1).sum() == 3 * 12 * CELL
    other = figures.belief(image, probabilities, ["a", "b", "c"], ("some image", "", "taken for b"))
    assert other.shape == actual.shape
    assert (other != actual).any()


def test_letters_that_the_font_lacks_become_the_nearest() -> None:
    image = np.zeros((1, 12, 12), np.uint8)
    for text, nearest in (
        ("Stra\u00dfe \u00fcber", "Stra?e uber"),
        ("u\u0308ber", "uber"),
        ("\u8a66\u9a13 \ufb01n", "?? fin"),
    ):
        actual, expected = (figures.grid(image, [(line,)]) for line in (text, nearest))
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("size", [47, 100, 1_000])
def test_many_classes_have_room(size: int) -> None:
    names, table = [f"class {k}" for k in range(size)], np.eye(size, dtype=int)
    assert 900 < max(figures.confusion(table, names).shape) < 2_100
    image, probabilities = np.zeros((40, 30, 3), np.uint8), np.eye(size)[[0, -1] * 20]
    belief = figures.belief(image, probabilities, names)
    assert belief.shape[1] < 2_400
    assert (belief == BLUES[-1]).all(-1).sum() == 40 * 12 * CELL
