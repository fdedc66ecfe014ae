"""From an image to a sequence, on the device."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8

from rnnjax.data.shuffle import permutation

Images = UInt8[np.ndarray | Array, "B Y X *C"]  # grey, or with an axis of channels
# What is read from step to step, or in as many steps as a row has pixels, by the kind of sequence.
PARTS = {"rows": "row", "columns": "column", "pixels": "row", "permuted_pixels": "part"}
ToSequences = Callable[[Images], Float32[Array, "B T F"]]  # `to_sequences` with its options


def num_features(kind: str, image_shape: tuple[int, ...]) -> int:
    """Returns the features F of a step, of images `[Y, X]` or in colour `[Y, X, C]`."""
    height, width, *channels = image_shape
    pixels = {"rows": width, "columns": height}.get(kind, 1)
    return pixels * math.prod(channels)


def num_parts(images: Images, sequences: Float32[Array, "B T F"]) -> int:
    """Returns the parts R that images are read in: their steps, or if these are pixels, rows."""
    height, width = images.shape[1:3]
    num_steps = sequences.shape[1]
    return height if num_steps == height * width else num_steps


def to_sequences(images: Images, kind: str, permutation_seed: int) -> Float32[Array, "B T F"]:
    """Scales uint8 images to float32 in [0, 1] and reads them as sequences.

    Args:
      images: `[B, Y, X]`, or in colour `[B, Y, X, C]`, uint8; C is 1 below if they are grey.
      kind: `rows` (`[B, Y, X * C]`), `columns` (`[B, X, Y * C]`), `pixels` (row by row,
        `[B, Y * X, C]`), or `permuted_pixels` (the same in one fixed random order; Le, Jaitly &
        Hinton, 2015).
      permutation_seed: chooses the order of `permuted_pixels`.

    Returns:
      `[B, T, F]`, float32.
    """
    scaled = jnp.asarray(images).astype(jnp.float32) / 255
    size, height, width, *channels = scaled.shape
    features = num_features(kind, (height, width, *channels))
    if kind == "rows":
        return scaled.reshape(size, height, features)
    if kind == "columns":
        return jnp.swapaxes(scaled, 1, 2).reshape(size, width, features)
    pixels = scaled.reshape(size, height * width, features)
    if kind == "pixels":
        return pixels
    if kind == "permuted_pixels":
        return pixels[:, permutation(permutation_seed, 0, pixels.shape[1])]
    raise ValueError(f"unknown kind of sequence: {kind!r}")


def parts(images: Images, to_sequences: ToSequences) -> UInt8[Array, "B R P *C"]:
    """Returns images as they are read: in R steps, or in R runs of P steps of one pixel."""
    sequences = to_sequences(images)
    values = jnp.rint(sequences * 255).astype(jnp.uint8)
    return values.reshape(len(images), num_parts(images, sequences), -1, *images.shape[3:])
