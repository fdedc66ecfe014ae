"""Picture files of every kind become the images that models know, or are named as wrong."""

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rnnjax.data.datasets import Dataset
from rnnjax.data.pictures import Picture, as_in_the_data, read_pictures
from rnnjax.errors import DataError
from tests.image_sets import flags


@pytest.fixture
def boot(real: Dataset) -> np.ndarray:
    return real.test.images[real.test.labels.tolist().index(9)]


def read(path: Path) -> Picture:
    (picture,) = read_pictures([path])
    return as_in_the_data(picture, (28, 28))


def saved(folder: Path, picture: Image.Image, name: str = "picture.png", **options: Any) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def enlarged(image: np.ndarray, scale: int = 20) -> Image.Image:
    return Image.fromarray(np.kron(image, np.ones((scale, scale), np.uint8)))


def written(path: Path, width: int, height: int, content: bytes) -> Path:
    """Writes a PNG file of 16 bits of each colour, as Pillow does not."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", content), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks))
    return path


def test_images_of_the_data_pass_bit_for_bit(tmp_path: Path, real: Dataset) -> None:
    """The first ones, and those whose borders are the lightest."""
    images = real.test.images
    borders = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    lightest = np.median(borders, axis=1).argsort()[-20:]
    for image in (*images[:20], *images[lightest]):
        for picture in (Image.fromarray(image), Image.fromarray(image).convert("RGBA")):
            actual = read(saved(tmp_path, picture))
            np.testing.assert_array_equal(actual.image, image)
            assert not actual.note


def test_dark_on_light_is_inverted(tmp_path: Path, boot: np.ndarray) -> None:
    actual = read(saved(tmp_path, Image.fromarray(255 - boot)))
    np.testing.assert_array_equal(actual.image, boot)
    assert actual.note == "light border: inverted"
    large = read(saved(tmp_path, enlarged(255 - boot)))
    assert np.abs(large.image.astype(int) - boot).mean() < 10
    photo = read(saved(tmp_path, enlarged(255 - boot).convert("RGB"), "photo.jpg"))
    assert np.abs(photo.image.astype(int) - large.image).max() < 10


@pytest.mark.parametrize(("width", "height"), [(280, 140), (140, 280)])
@pytest.mark.parametrize("paper", [0, 255])
def test_the_aspect_ratio_stays(tmp_path: Path, width: int, height: int, paper: int) -> None:
    picture = Image.new("L", (width, height), paper)
    picture.paste(128, (width // 4, height // 4, width - width // 4, height - height // 4))
    rows, columns = np.nonzero(read(saved(tmp_path, picture)).image > 64)
    expected = (7, 14) if width > height else (14, 7)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == pytest.approx(expected, abs=1)
    assert (rows.mean(), columns.mean()) == pytest.approx((13.5, 13.5), abs=0.5)


def test_lines(tmp_path: Path) -> None:
    expected = np.zeros((28, 28), np.uint8)
    expected[:, 13] = 100
    upright = read(saved(tmp_path, Image.new("L", (1, 5000), 100))).image
    np.testing.assert_array_equal(upright, expected)
    level = read(saved(tmp_path, Image.new("L", (5000, 1), 100))).image
    np.testing.assert_array_equal(level, expected.T)


@pytest.mark.parametrize("tone", [30, 230])
@pytest.mark.parametrize("hidden", [0, 255])
def test_what_is_transparent_becomes_black(tmp_path: Path, tone: int, hidden: int) -> None:
    """Whatever colour is hidden there; a dark garment becomes bright, a bright one stays."""
    picture = Image.new("RGBA", (280, 280), (hidden, hidden, hidden, 0))
    picture.paste((tone, tone, tone, 255), (70, 70, 210, 210))
    expected = np.zeros((28, 28), np.uint8)
    expected[7:21, 7:21] = max(tone, 255 - tone)
    for converted, name in (
        (picture, "a.png"),
        (picture.convert("LA"), "b.png"),
        (picture.quantize(8), "c.png"),
        (picture, "d.webp"),
        (picture, "e.gif"),
    ):
        options = {"lossless": True} if name.endswith("webp") else {}
        actual = read(saved(tmp_path, converted, name, **options))
        assert np.abs(actual.image.astype(int) - expected)[1:-1, 1:-1].max() < 45, name
        assert np.abs(actual.image.astype(int) - expected)[8:20, 8:20].max() < 12, name
        assert (actual.image[[0, -1]] == 0).all(), name
        assert actual.note == "dark on transparent: inverted" * (tone == 30), name


def test_a_hole_in_an_inverted_picture_is_black(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (28, 28), (255, 255, 255, 255))
    picture.paste((0, 0, 0, 255), (5, 5, 23, 23))
    picture.paste((0, 0, 0, 0), (10, 10, 18, 18))
    image = read(saved(tmp_path, picture)).image
    assert (image[10:18, 10:18] == 0).all()
    assert (image[5:10, 5:23] == 255).all()


def test_a_picture_of_nothing_is_said_to_be_empty(tmp_path: Path) -> None:
    nothing = Image.new("RGBA", (28, 28))
    for picture, note in (
        (nothing, "empty"),
        (nothing.convert("L"), "empty"),
        (Image.new("L", (90, 40), 255), "light border: inverted; empty"),
    ):
        actual = read(saved(tmp_path, picture))
        assert actual.note == note
        assert not actual.image.any()


def test_modes(tmp_path: Path, boot: np.ndarray) -> None:
    grey = Image.fromarray(boot)
    np.testing.assert_array_equal(read(saved(tmp_path, grey.convert("P"))).image, boot)
    binary = grey.point(lambda value: 255 * (value > 100)).convert("1")  # pyright: ignore[reportOperatorIssue]
    np.testing.assert_array_equal(read(saved(tmp_path, binary)).image, 255 * (boot > 100))
    deep = Image.fromarray(boot.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read(saved(tmp_path, deep)).image, boot)
    cmyk = read(saved(tmp_path, grey.convert("RGB").convert("CMYK"), "cmyk.jpg", quality=95))
    assert np.abs(cmyk.image.astype(int) - boot).mean() < 4
    assert not cmyk.note


def test_sixteen_bits_of_each_colour(tmp_path: Path, boot: np.ndarray) -> None:
    pixels = np.repeat((boot.astype(">u2") * 257)[..., None], 3, axis=2).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    path = written(tmp_path / "deep.png", 28, 28, zlib.compress(lines))
    np.testing.assert_array_equal(read(path).image, boot)


def test_a_camera_held_sideways(tmp_path: Path, boot: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    sideways = Image.fromarray(np.rot90(boot).copy())
    np.testing.assert_array_equal(read(saved(tmp_path, sideways, exif=exif)).image, boot)


def test_a_jpeg_with_a_second_picture_behind_it(tmp_path: Path, boot: np.ndarray) -> None:
    options = {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (9, 9))]}
    path = saved(tmp_path, enlarged(boot).convert("RGB"), "phone.jpg", **options)
    assert np.abs(read(path).image.astype(int) - boot).mean() < 10


def test_every_wrong_file_is_named(tmp_path: Path) -> None:
    good = saved(tmp_path, Image.effect_noise((90, 90), 50), "good.png")
    frames: Any = {"save_all": True, "append_images": [Image.new("L", (9, 9), 255)]}
    content = good.read_bytes()
    wrong = {
        "missing.png": "cannot be read: No such file",
        "": "is a folder, not a file",
        "fifo": "is a FIFO, not a file",
        "empty.png": "is no PNG, JPEG, GIF, BMP or WebP picture",
        "text.png": "is no PNG, JPEG, GIF, BMP or WebP picture",
        "half.png": "is damaged",
        "header.png": "damaged",
        "moving.png": "is animated",
        "moving.gif": "is animated",
        "loop": "is a link, not a file",
        "large.png": "has more than 89478485 pixels",
        "bomb.png": "has more than 89478485 pixels",
        "vector.eps": "is no PNG, JPEG, GIF, BMP or WebP picture",
    }
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("a boot")
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "header.png").write_bytes(content[:20])
    saved(tmp_path, Image.new("L", (9, 9)), "moving.png", **frames)
    saved(tmp_path, Image.new("L", (9, 9)), "moving.gif", **frames)
    saved(tmp_path, Image.new("L", (9, 9)), "vector.eps")
    written(tmp_path / "large.png", 10_000, 10_000, b"")
    written(tmp_path / "bomb.png", 20_000, 20_000, b"")
    with pytest.raises(DataError) as caught:
        read_pictures([good, *(tmp_path / name for name in wrong)])
    reasons = str(caught.value).split("; ")
    assert len([reason for reason in reasons if str(tmp_path) in reason]) == len(wrong)
    for name, words in wrong.items():
        assert any(f"{tmp_path / name} " in reason and words in reason for reason in reasons), name
    link = tmp_path / "link.png"
    link.symlink_to(good)
    np.testing.assert_array_equal(read(link).image, read(good).image)


def test_whatever_is_damaged_raises_nothing_else(tmp_path: Path, boot: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "a.jpg", "a.gif", "a.bmp", "a.webp"):
        path = saved(tmp_path, enlarged(boot, 4), name)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(50):
            damaged = content.copy()
            places = rng.integers(0, len(content), 5)
            damaged[places] = rng.integers(0, 256, 5)
            path.write_bytes(damaged.tobytes()[: rng.integers(10, 2 * len(content))])
            with contextlib.suppress(DataError):
                read(path)


def test_pictures_get_the_colours_and_the_size_of_the_set(tmp_path: Path) -> None:
    (image, *_), _ = flags(1, 3)
    for shown, name in (
        (image, "same.png"),
        (np.full((24, 24, 3), (250, 20, 30), np.uint8), "a.png"),
    ):
        Image.fromarray(shown).save(tmp_path / name)
    same, scaled = read_pictures([tmp_path / "same.png", tmp_path / "a.png"])
    np.testing.assert_array_equal(as_in_the_data(same, (12, 10, 3)).image, image)
    actual, note = as_in_the_data(scaled, (12, 10, 3))
    assert (actual[1:11] == (250, 20, 30)).all()
    assert not actual[[0, -1]].any()
    assert not note
    assert as_in_the_data(scaled, (12, 10)).image.shape == (12, 10)
