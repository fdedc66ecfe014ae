"""Drawn garments: a procedural stand-in for Fashion-MNIST that needs no download.

A silhouette is a *field*: roughly the distance in pixels from its outline, positive inside. Fields
combine by `np.minimum` (intersection), `np.maximum` (union) and negation (complement).
"""

from collections.abc import Callable
from functools import partial

import numpy as np

Value = np.ndarray | float
Span = tuple[float, float]
Drawing = tuple[np.ndarray, Value]  # a field, and the tone (relative brightness) inside it

_SIZE = 28
_CHUNK = 1000  # images drawn together: bounds the memory in use


class _Pen:
    """Pixel coordinates around the garment's centre, and random numbers, for `n` images."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng, self.n = rng, n
        grid = np.arange(_SIZE, dtype=np.float32) - (_SIZE - 1) / 2
        scale = self.pick(0.9, 1.04)
        # Apart, [n, 1, 28] and [n, 28, 1], so that what depends on one of them stays a vector.
        self.x = (grid - self.pick(-1.5, 1.5)) / scale
        self.y = (grid[:, None] - self.pick(-1.5, 1.5)) / scale

    def pick(self, low: Value, high: Value) -> np.ndarray:
        return low + (high - low) * self.rng.random((self.n, 1, 1), dtype=np.float32)


def _band(v: np.ndarray, low: Value, high: Value) -> np.ndarray:
    return np.minimum(v - low, high - v)


def _trapezoid(
    x: np.ndarray, y: np.ndarray, top: Value, bottom: Value, half_top: Value, half_bottom: Value
) -> np.ndarray:
    half = half_top + (half_bottom - half_top) * (y - top) / (bottom - top)
    return np.minimum(half - np.abs(x), _band(y, top, bottom))


def _ellipse(x: np.ndarray, y: np.ndarray, half_width: Value, half_height: Value) -> np.ndarray:
    radius = np.sqrt(np.square(x / half_width) + np.square(y / half_height))
    return (1 - radius) * np.minimum(half_width, half_height)


def _cover(field: np.ndarray) -> np.ndarray:
    """The share of each pixel that lies inside the field: an anti-aliased mask."""
    return np.clip(field + 0.5, 0, 1)


def _top(
    pen: _Pen, sleeve: Span, waist: Span, hem: Span, flare: Span = (-1, 1), front: Span = (0, 0)
) -> Drawing:
    """A torso with sleeves; `front` is how dark a line and lapels mark an opening down it."""
    x, y, half = np.abs(pen.x), pen.y + pen.pick(11.5, 13), pen.pick(*waist)
    shoulder = half + pen.pick(-0.5, 1)
    torso = _trapezoid(x, pen.y, -14, pen.pick(*hem), shoulder, half + pen.pick(*flare))
    length = np.maximum(pen.pick(*sleeve), 0.5)
    angle = pen.pick(4, 8) / (length + 4)  # long sleeves hang, short ones stand off
    out, down, sin, cos = x - shoulder + 2, y - 2.5, np.sin(angle), np.cos(angle)
    across, along = out * cos - down * sin, out * sin + down * cos
    sleeves = _trapezoid(across, along, -1, length, 2.8, pen.pick(1.5, 2.7))
    neck, depth = pen.pick(2, 4), pen.pick(2, 8)
    slope = y - pen.pick(0.2, 0.45) * np.maximum(x - neck, 0)
    outline = np.minimum(slope, -_ellipse(x, y, neck, pen.pick(0.8, 3)))
    seam = 1 - pen.pick(0, 0.5) * _cover(0.2 - np.abs(torso))
    opening = np.maximum(np.minimum(0.5 - x, y - depth), 0.5 - np.abs(x - 3.5 * (1 - y / depth)))
    tone = seam * (1 - pen.pick(*front) * _cover(opening))
    return np.minimum(np.maximum(torso, sleeves), outline), tone


def _trouser(pen: _Pen) -> Drawing:
    hips, hem, bottom = pen.pick(4, 6), pen.pick(4, 7.5), pen.pick(10, 13.5)
    legs = _trapezoid(pen.x, pen.y, pen.pick(-13.5, -12), bottom, hips, hem)
    gap = _trapezoid(pen.x, pen.y, pen.pick(-8, -4), 20, 0, pen.pick(0.8, 4))
    return np.minimum(legs, -gap), 1.0


def _shoe(
    pen: _Pen, toe: Value, ankle: Value, rise: Value, lift: Value
) -> tuple[np.ndarray, np.ndarray]:
    """The field of a shoe that points left, and heights over its sole; `lift` is the heel's."""
    half, floor = pen.pick(11, 12.8), (ankle + lift) / 2
    above = floor - lift * np.clip((pen.x + 5) / 11, 0, 1) - pen.y
    instep = np.clip((pen.x - pen.pick(-3, 2)) / rise + 0.5, 0, 1)
    height = toe + (ankle - toe) * np.square(instep) * (3 - 2 * instep)
    round_toe = np.sqrt(np.clip((pen.x + half) / 5, 0, 1))
    upper = np.minimum(_band(above, 0, height * round_toe), half - np.abs(pen.x))
    block = _band(pen.x, half - pen.pick(1.5, 7), half)
    return np.maximum(upper, np.minimum(block, np.minimum(1 - above, floor - pen.y))), above


def _sandal(pen: _Pen) -> Drawing:
    toe, ankle, lift = pen.pick(3, 5), pen.pick(6, 12), np.maximum(pen.pick(-6, 9), 0)
    shoe, above = _shoe(pen, toe, ankle, pen.pick(6, 12), lift)
    # Straps are what slanting slits leave of an upper.
    wave = np.sin((pen.x + pen.pick(-0.8, 0.8) * above) * pen.pick(0.5, 1.1))
    straps = 2 * (wave - pen.pick(-0.9, 0.6))
    return np.minimum(shoe, np.maximum(straps, pen.pick(1, 2.2) - above)), 1.0


def _sneaker(pen: _Pen) -> Drawing:
    toe, ankle, lift = pen.pick(3.5, 6), pen.pick(7, 12), pen.pick(0, 1.5)
    shoe, above = _shoe(pen, toe, ankle, pen.pick(4, 11), lift)
    stripe = _cover(1 - np.abs(pen.x + pen.pick(-4, 4) + pen.pick(-1, 1) * above))
    sole = _cover(pen.pick(1, 2.5) - above)
    return shoe, 1 + pen.pick(-0.4, 0.6) * sole - pen.pick(-0.3, 0.6) * stripe


def _ankle_boot(pen: _Pen) -> Drawing:
    lift = np.maximum(pen.pick(-5, 7), 0)
    ankle = np.minimum(pen.pick(10, 24), 25 - lift)
    shoe, above = _shoe(pen, pen.pick(4, 7), ankle, pen.pick(2, 8), lift)
    return shoe, 1 - pen.pick(-0.3, 0.4) * _cover(pen.pick(1, 2) - above)


def _bag(pen: _Pen) -> Drawing:
    half, top = pen.pick(8, 13), pen.pick(-7, 0)
    body = _trapezoid(pen.x, pen.y, top, pen.pick(8, 12.5), half - pen.pick(-1, 3), half)
    arch = _ellipse(pen.x, pen.y - top, half * pen.pick(0.4, 0.9), pen.pick(3, 13.5 + top))
    handle = np.minimum(pen.pick(0.5, 1.2) - np.abs(arch), top - pen.y)
    flap = _cover(0.6 - np.abs(pen.y - top - pen.pick(1, 8)))
    return np.maximum(body, handle), 1 - pen.pick(0, 0.6) * flap


_DRAWERS: dict[str, Callable[[_Pen], Drawing]] = {
    "T-shirt/top": partial(_top, sleeve=(4, 10), waist=(6, 8.5), hem=(10, 13)),
    "Trouser": _trouser,
    "Pullover": partial(_top, sleeve=(14, 21), waist=(6, 8), hem=(9.5, 12.5)),
    "Dress": partial(_top, sleeve=(-12, 16), waist=(3, 5), hem=(11.5, 14), flare=(1, 5)),
    "Coat": partial(_top, sleeve=(15, 22), waist=(6, 8), hem=(11.5, 14), front=(0.4, 0.9)),
    "Sandal": _sandal,
    "Shirt": partial(_top, sleeve=(6, 20), waist=(5.5, 8), hem=(10.5, 13.5), front=(0.15, 0.6)),
    "Sneaker": _sneaker,
    "Bag": _bag,
    "Ankle boot": _ankle_boot,
}
CLASS_NAMES: tuple[str, ...] = tuple(_DRAWERS)  # a label is a place in this order


def _shade(pen: _Pen, field: np.ndarray, tone: Value) -> np.ndarray:
    """Fills a silhouette with its tone under slanting light, some with stripes, all with grain."""
    stripes = np.maximum(pen.pick(-0.8, 0.4), 0) * np.sin(pen.y * pen.pick(0.6, 2.5))
    light = 1 + stripes + pen.pick(-0.02, 0.02) * pen.y + pen.pick(-0.02, 0.02) * pen.x
    grain = pen.rng.standard_normal(field.shape, dtype=np.float32) * pen.pick(0.02, 0.1)
    bright = np.clip(pen.pick(0.3, 0.95) * (light * tone + grain), 0, 1)
    return (255 * _cover(field) * bright).astype(np.uint8)


def draw(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws garments with the shapes, value range and classes of Fashion-MNIST.

    Args:
        num_images: How many images to draw; class sizes differ by at most one.
        seed: Seeds every random choice: equal arguments give equal arrays.

    Returns:
        images: uint8 [num_images, 28, 28], from 0 (the background) to 255, classes shuffled.
        labels: int32 [num_images], indices into `CLASS_NAMES`.

    Raises:
        ValueError: If `num_images` is below 1.
    """
    if num_images < 1:
        raise ValueError(f"num_images must be at least 1, got {num_images}")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_images, dtype=np.int32) % len(_DRAWERS))
    images = np.empty((num_images, _SIZE, _SIZE), np.uint8)
    for label, drawer in enumerate(_DRAWERS.values()):
        members = np.flatnonzero(labels == label)
        for start in range(0, members.size, _CHUNK):
            chunk = members[start : start + _CHUNK]
            pen = _Pen(rng, chunk.size)
            images[chunk] = _shade(pen, *drawer(pen))
    return images, labels
