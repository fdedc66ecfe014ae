"""From an image to a sequence, on the device."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8

from rnnjax.data.shuffle import permutation

Images = UInt8[np.ndarray | Array, "B 28 28"]
# What is read from step to step, or in as many steps as a row has pixels, by the kind of sequence.
PARTS = {"rows": "row", "columns": "column", "pixels": "row", "permuted_pixels": "part"}
ToSequences = Callable[[Images], Float32[Array, "B T F"]]  # `to_sequences` with its options


def num_features(kind: str) -> int:
    """Returns the features F of a step, of images 28 pixels wide."""
    return 1 if kind.endswith("pixels") else 28


def to_sequences(images: Images, kind: str, permutation_seed: int) -> Float32[Array, "B T F"]:
    """Scales uint8 images `[B, 28, 28]` to float32 in [0, 1] and reads them as sequences.

    Args:
      images: `[B, 28, 28]`, uint8.
      kind: `rows` or `columns` (`[B, 28, 28]`), `pixels` (row by row, `[B, 784, 1]`), or
        `permuted_pixels` (the same in one fixed random order; Le, Jaitly & Hinton, 2015).
      permutation_seed: chooses the order of `permuted_pixels`.

    Returns:
      `[B, T, F]`, float32.
    """
    scaled = jnp.asarray(images).astype(jnp.float32) / 255
    if kind == "rows":
        return scaled
    if kind == "columns":
        return jnp.swapaxes(scaled, 1, 2)
    pixels = scaled.reshape(scaled.shape[0], -1, 1)
    if kind == "pixels":
        return pixels
    if kind == "permuted_pixels":
        return pixels[:, permutation(permutation_seed, 0, pixels.shape[1])]
    raise ValueError(f"unknown kind of sequence: {kind!r}")


def parts(images: Images, to_sequences: ToSequences) -> UInt8[Array, "B R X"]:
    """Returns images as they are read: R steps, or as many steps at a time as a row has pixels."""
    values = jnp.rint(to_sequences(images) * 255).astype(jnp.uint8)
    return values.reshape(len(images), images.shape[1], -1)
