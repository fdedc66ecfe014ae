"""Training images moved, mirrored and with a part erased at random, on the device.

Which of it an image undergoes follows from the run's key, the step and the image's row in the
training split alone: not from the devices, nor from where the run was interrupted.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt8

from rnnjax.config import AugmentationConfig
from rnnjax.errors import ConfigError

# No step has this number, so that no key of dropout, which is folded with the step, is one of here.
NO_STEP = np.uint32(2**32 - 1)
SMALLEST_AREA, FLATTEST = 0.02, 0.3  # of what is erased: share of the image, height by width

Image = UInt8[Array, "Y X *C"]
Images = UInt8[np.ndarray | Array, "B Y X *C"]
# From images, their rows in the training split, the run's key and the step to images.
Augment = Callable[[Images, Int[np.ndarray | Array, " B"], PRNGKeyArray, Int[Array, ""]], Images]


def augmentation(config: AugmentationConfig, image_shape: tuple[int, ...]) -> Augment | None:
    """Returns what the settings ask for, of images `[Y, X]` or `[Y, X, C]`; None: nothing.

    Raises:
      ConfigError: if an image could be moved out of sight.
    """
    if config.max_shift >= (most := min(image_shape[:2])):
        raise ConfigError(
            f"config.augmentation.max_shift={config.max_shift} moves images of "
            f"{image_shape[0]}x{image_shape[1]} out of sight: at most {most - 1}"
        )
    if not (config.max_shift or config.flip_prob or config.erase_prob):
        return None
    return functools.partial(augment, config=config)


def augment(
    images: Images,
    rows: Int[np.ndarray | Array, " B"],
    key: PRNGKeyArray,
    step: Int[Array, ""],
    *,
    config: AugmentationConfig,
) -> Images:
    """Returns the images of a step, each shifted, flipped and erased at random.

    Args:
      images: `[B, Y, X]`, or in colour `[B, Y, X, C]`, uint8.
      rows: `[B]`, which images of the training split they are.
      key: of the run.
      step: the steps taken before.
      config: how far, how often and how much.
    """
    key = jax.random.fold_in(jax.random.fold_in(key, NO_STEP), step)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(rows)

    def augment_one(image: Image, key: PRNGKeyArray) -> Image:
        shift_key, flip_key, erase_key = jax.random.split(key, 3)
        if config.max_shift:
            image = _shift(image, shift_key, config.max_shift)
        if config.flip_prob:
            is_flipped = jax.random.bernoulli(flip_key, config.flip_prob)
            image = jnp.where(is_flipped, image[:, ::-1], image)
        if config.erase_prob:
            image = _erase(image, erase_key, config.erase_prob, config.erase_area)
        return image

    return jax.vmap(augment_one)(jnp.asarray(images), keys)


def _shift(image: Image, key: PRNGKeyArray, most: int) -> Image:
    """Moves an image by up to `most` pixels down or up and right or left, each as likely."""
    down, right = jax.random.randint(key, (2,), -most, most + 1)
    others = [0] * (image.ndim - 2)
    padded = jnp.pad(image, [(most, most)] * 2 + [(0, 0) for _ in others])
    return jax.lax.dynamic_slice(padded, (most - down, most - right, *others), image.shape)


def _erase(image: Image, key: PRNGKeyArray, probability: float, largest_area: float) -> Image:
    """Erases a rectangle, or nothing (Zhong et al., "Random erasing data augmentation", 2017).

    As in torchvision, the rectangle's share of the image is uniform, its height by its width, with
    the sides of the image as 1, log-uniform from 0.3 to 1 / 0.3, and its place uniform; but an
    aspect is drawn among those that fit, not again until one does. What is erased becomes 0.
    """
    whether_key, area_key, aspect_key, place_key = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, minval=SMALLEST_AREA, maxval=largest_area)
    # At an aspect equal to the area, the rectangle is as wide as the image.
    flattest = jnp.log(jnp.maximum(FLATTEST, area))
    root = jnp.exp(jax.random.uniform(aspect_key, minval=flattest, maxval=-flattest) / 2)
    shape = jnp.array(image.shape[:2], jnp.int32)
    sides = jnp.sqrt(area) * jnp.stack([root, 1 / root]) * shape.astype(area.dtype)
    sides = jnp.clip(jnp.rint(sides).astype(jnp.int32), 1, shape)
    start = jax.random.randint(place_key, (2,), 0, shape - sides + 1)
    is_inside = jax.random.bernoulli(whether_key, probability)
    for axis in (0, 1):
        place = jnp.arange(image.shape[axis])
        inside = (place >= start[axis]) & (place < start[axis] + sides[axis])
        is_inside &= jnp.expand_dims(inside, [n for n in range(image.ndim) if n != axis])
    return jnp.where(is_inside, 0, image)
