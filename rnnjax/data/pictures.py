"""Picture files of one's own, made into images as those of a data set."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from rnnjax.errors import DataError
from rnnjax.system.files import open_file
from rnnjax.system.messages import printable

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # of what else Pillow reads, some starts programs
DRAFT = (1024, 1024)  # a JPEG is decoded no smaller, nor much larger
HALF = 127  # above it a pixel is light, or can be seen


class Picture(NamedTuple):
    """What was made of a file."""

    image: UInt8[np.ndarray, "Y X *C"]
    note: str  # why it was inverted, and whether nothing is left of it; as a rule empty


def read_pictures(paths: Sequence[Path]) -> list[Image.Image]:
    """Reads picture files, of which `as_in_the_data` makes images.

    Raises:
      DataError: naming each file that cannot be read, and why.
    """
    pictures, wrong = [], []
    for path in paths:
        try:
            pictures.append(_read(path))
        except DataError as error:
            wrong.append(f"{printable(str(path))} {error}")
    if wrong:
        raise DataError("; ".join(wrong))
    return pictures


def _read(path: Path) -> Image.Image:
    try:
        with open_file(Path(os.path.realpath(path)), os.O_RDONLY) as file:
            return _decode(file)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def _decode(
    file: Any,
) -> Image.Image:  # Pillow wants an IO[bytes], which no file of io declares to be
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata, as a rule
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as picture:
                # A camera's JPEG may have a thumbnail behind its picture, which is no animation.
                if picture.format != "MPO" and getattr(picture, "is_animated", False):
                    raise DataError("is animated; save the picture that you mean")
                picture.draft(None, DRAFT)
                return _eight_bits(ImageOps.exif_transpose(picture))
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError("is no PNG, JPEG, GIF, BMP or WebP picture, or damaged") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(
                f"has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller"
            ) from error
        except Exception as error:  # Pillow raises errors of many types at damaged files
            raise DataError(f"is damaged: {error}") from error


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Returns a picture as red, green, blue and opacity, of 8 bits each."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip to 8
        values = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    return picture.convert("RGBA")


def as_in_the_data(picture: Image.Image, image_shape: tuple[int, ...]) -> Picture:
    """Makes a picture of `read_pictures` an image; one that is like the data stays as it is.

    Others become as large as fits, in the middle. What is transparent becomes black. Where images
    are grey, pictures become so too, and are inverted if the border is light, or if it is
    transparent and what can be seen is dark: such sets are bright on black, and of the 10,000 test
    images of Fashion-MNIST none has such a border.

    Args:
      picture: of `read_pictures`.
      image_shape: of the images of the data set, `[Y, X]`, or in colour `[Y, X, C]`.
    """
    is_grey = len(image_shape) == 2
    scale = min(np.divide(image_shape[1::-1], picture.size))
    width, height = (max(1, round(extent * scale)) for extent in picture.size)
    picture = picture.convert("LA") if is_grey else picture
    small = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float64)
    colours, opacity = small[..., :-1], small[..., -1:]
    reason = _reason_to_invert(small[..., 0], small[..., 1] > HALF) if is_grey else ""
    shown = np.rint((255 - colours if reason else colours) * opacity / 255)
    top, left = (image_shape[0] - height) // 2, (image_shape[1] - width) // 2
    image = np.zeros(image_shape, np.uint8)
    image[top : top + height, left : left + width] = shown[..., 0] if is_grey else shown
    notes = [f"{reason}: inverted"] * bool(reason) + ["empty"] * (not image.any())
    return Picture(image, "; ".join(notes))


def _reason_to_invert(grey: Float[np.ndarray, "Y X"], is_visible: np.ndarray) -> str:
    """Returns what makes a picture dark on light, or would on white paper; "" if it is not."""
    is_border = np.ones(grey.shape, bool)
    is_border[1:-1, 1:-1] = False
    if is_visible[is_border].mean() > 0.5:
        return "light border" * bool(np.median(grey[is_border & is_visible]) > HALF)
    is_dark = is_visible.any() and np.median(grey[is_visible]) <= HALF
    return "dark on transparent" * bool(is_dark)
