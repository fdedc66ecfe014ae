"""Pictures of figures, small enough for TensorBoard: drawn with Pillow in a few milliseconds.

All are `[height, width, 3]`, uint8, dark on white.
"""

import functools
import io
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

Picture = UInt8[np.ndarray, "Y X 3"]

BLUES = np.array([[247, 251, 255], [107, 174, 214], [8, 48, 107]], float)  # few, some, all
INK, PAPER = (20, 20, 20), (255, 255, 255)
SIDE = 84  # pixels of the longer side of an image, or as many as it has
BELIEF = 480  # pixels of the height of an image beside beliefs, or as many as it has
CELL = 38  # pixels of a table's cell, or of many classes less, of a column of beliefs
WIDEST = 1900  # pixels of such a table, or of the beliefs
TEXT, SMALL = 13, 11  # heights of letters
LINE = 16  # pixels from line to line


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def grid(
    images: UInt8[np.ndarray, "N Y X *C"], captions: Sequence[Sequence[str]], columns: int = 5
) -> Picture:
    """Returns images side by side, with lines of text below each.

    Args:
      images: grey or in colour.
      captions: lines, for each image as many as for the others.
      columns: images in a row.
    """
    captions = [[_ascii(line) for line in lines] for lines in captions]
    scale = max(1, round(SIDE / max(images.shape[1:3])))
    size = images.shape[2] * scale, images.shape[1] * scale
    texts = [line for lines in captions for line in lines]
    width = max([size[0], *(_width(text, SMALL) for text in texts)]) + 12
    height = size[1] + LINE * max(map(len, captions), default=0) + 12
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, max(rows, 1) * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for n, (image, lines) in enumerate(zip(images, captions, strict=True)):
        x, y = n % columns * width + 6, n // columns * height + 4
        sheet.paste(Image.fromarray(image).resize(size, Image.Resampling.NEAREST), (x, y))
        for k, line in enumerate(lines):
            draw.text((x, y + size[1] + 2 + k * LINE), line, INK, _font(SMALL))
    return np.asarray(sheet)


def confusion(table: Int[np.ndarray, "K K"], class_names: Sequence[str]) -> Picture:
    """Returns a table of truth (rows) against guess (columns), its colours by share of the row.

    Of so many classes that there is no room for the numbers it is without, and then without names.
    """
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    cell = max(1, min(CELL, WIDEST // len(table)))
    margin = max(_width(name, TEXT) for name in class_names) + 10
    side = cell * len(table)
    sheet = Image.new("RGB", (margin + side + 6, LINE + margin + side + 6), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 1), "truth in rows, guess in columns", INK, _font(TEXT))
    top = LINE + margin
    sheet.paste(_tiles(shares, cell, cell), (margin, top))
    for k, name in enumerate(class_names) if cell >= LINE else ():
        start = margin + k * cell
        draw.text((4, top + k * cell + cell // 2 - 8), name, INK, _font(TEXT))
        upright = _upright(name)
        sheet.paste(upright, (start + cell // 2 - 8, top - upright.height - 4))
        for row in range(len(table)) if cell == CELL else ():
            ink = PAPER if shares[row, k] > 0.6 else INK
            text = str(table[row, k])
            place = (start + (CELL - _width(text, SMALL)) // 2, top + row * CELL + CELL // 2 - 7)
            draw.text(place, text, ink, _font(SMALL))
    return np.asarray(sheet)


def belief(
    image: UInt8[np.ndarray, "T X *C"],
    probabilities: Float[np.ndarray, "T K"],
    names: Sequence[str],
    caption: Sequence[str] = (),
) -> Picture:
    """Returns an image beside what a model believes after each of its rows, class by class.

    Of many classes, those that it believes in most.

    Args:
      image: grey or in colour.
      probabilities: of the classes, after each row.
      names: of the classes.
      caption: lines above the image.
    """
    unit = max(1, min(12, BELIEF // len(image)))  # pixels of a row, of the image and of the belief
    likely = np.argsort(-np.nan_to_num(probabilities).max(0), kind="stable")
    shown = np.sort(likely[: WIDEST // CELL])
    names, probabilities = [names[int(k)] for k in shown], probabilities[:, shown]
    lines = [_ascii(line) for line in caption]
    side, top = len(image) * unit, max(_width(name, TEXT) for name in names) + 10
    top = max(top, LINE * len(lines) + 8)
    left = max([image.shape[1] * unit, *(_width(line, SMALL) for line in lines)]) + 12
    sheet = Image.new("RGB", (left + CELL * len(names) + 6, top + side + 6), PAPER)
    enlarged = Image.fromarray(image).resize(
        (image.shape[1] * unit, side), Image.Resampling.NEAREST
    )
    sheet.paste(enlarged, (6, top))
    sheet.paste(_tiles(probabilities, unit, CELL), (left, top))
    for k, line in enumerate(reversed([line for line in lines if line]), 1):
        ImageDraw.Draw(sheet).text((6, top - k * LINE - 4), line, INK, _font(SMALL))
    for k, name in enumerate(names):
        upright = _upright(name)
        sheet.paste(upright, (left + k * CELL + CELL // 2 - 8, top - upright.height - 4))
    return np.asarray(sheet)


def over_time(
    values: Float[np.ndarray, "L T"], names: Sequence[str], title: str, *, logarithmic: bool
) -> Picture:
    """Returns a stripe for each row of values, whose colours are those over time.

    Args:
      values: shares, from 0 to 1; or anything from 0 on, if logarithmic.
      names: of the rows.
      title: what they are; the least and the largest value follow it.
      logarithmic: whether colours are by the logarithm.
    """
    low, high, shares = 0.0, 1.0, values
    if logarithmic:
        positive = values[np.isfinite(values) & (values > 0)]
        low, high = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
        logarithms = np.log10(np.maximum(values, low))
        shares = (logarithms - np.log10(low)) / max(np.log10(high) - np.log10(low), 1e-6)
    unit = max(2, 560 // values.shape[1])
    margin = max(_width(name, TEXT) for name in names) + 10
    text = f"{title}: {low:.2g} (light) to {high:.2g} (dark)"
    width = max(margin + unit * values.shape[1], _width(text, TEXT)) + 10
    sheet = Image.new("RGB", (width, 2 * LINE + CELL * len(names) + LINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 2), text, INK, _font(TEXT))
    for n, name in enumerate(names):
        y = 2 * LINE + n * CELL
        draw.text((4, y + CELL // 2 - 8), name, INK, _font(TEXT))
        sheet.paste(_tiles(shares[n : n + 1], CELL - 3, unit), (margin, y))
    end = 2 * LINE + len(names) * CELL
    draw.text((margin, end), "first step", INK, _font(SMALL))
    last = f"step {values.shape[1]}"
    draw.text((margin + unit * values.shape[1] - _width(last, SMALL), end), last, INK, _font(SMALL))
    return np.asarray(sheet)


def png(picture: Picture) -> bytes:
    """Returns a picture as a PNG file, quickly: half as small takes thrice as long."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _tiles(shares: Float[np.ndarray, "Y X"], height: int, width: int) -> Image.Image:
    """Returns shares as rectangles of blue, the darker the larger; what is not finite is 0."""
    shares = np.nan_to_num(shares)
    colours = np.stack([np.interp(shares, [0, 0.5, 1], channel) for channel in BLUES.T], axis=-1)
    return Image.fromarray(colours.astype(np.uint8).repeat(height, 0).repeat(width, 1))


def _ascii(text: str) -> str:
    """Returns a text in the letters that Pillow's own font has: others become the nearest, or ?."""
    letters = unicodedata.normalize("NFC", text)
    nearest = (unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode() for c in letters)
    return "".join(c or "?" for c in nearest)


@functools.lru_cache(maxsize=1024)
def _width(text: str, size: int) -> int:
    return int(np.ceil(_font(size).getlength(text)))


@functools.lru_cache(maxsize=1024)
def _upright(text: str) -> Image.Image:
    """Returns a text that is read from below."""
    label = Image.new("RGB", (_width(text, TEXT), LINE), PAPER)
    ImageDraw.Draw(label).text((0, 0), text, INK, _font(TEXT))
    return label.rotate(90, expand=True)
