"""The real Fashion-MNIST from every source, the drawn garments, and sequences."""

import functools
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from rnnjax.config import DataConfig
from rnnjax.data import datasets, drawn_garments, fashion_mnist
from rnnjax.data.sequences import parts, to_sequences
from rnnjax.data.shuffle import permutation
from rnnjax.errors import ConfigError, DataError
from tests.image_sets import flags

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def registered_checksums() -> dict[str, str]:
    builder: Any = tfds.builder("fashion_mnist")
    return {info.filename: info.checksum for info in builder.url_infos.values()}


@pytest.mark.process
def test_loading_in_a_thread_leaves_pythons_import_alone(data_dir: str, real: Any) -> None:
    """The main thread imports parts of JAX meanwhile, as it uses them for the first time."""
    code = f"""
import etils.epy, rnnjax.training.start
from rnnjax.config import DataConfig
from rnnjax.data import datasets

def fail(**_):
    raise AssertionError("TFDS replaces __import__")

etils.epy.lazy_imports = fail
print(len(datasets.load(DataConfig(data_dir={data_dir!r})).train.labels))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "60000\n", done.stderr


@pytest.fixture
def idx_dir(tmp_path: Path) -> Path:
    """A copy of the four files, to be spoilt."""
    return Path(shutil.copytree(fashion_mnist.DEBIAN_DIR, tmp_path / "idx"))


def test_real_images_are_those_of_the_files(real: datasets.Dataset) -> None:
    """Compared as multisets, since TFDS shuffles the training images when it prepares them."""
    assert real.class_names == CLASSES
    for split, stem, size in ((real.train, "train", 60_000), (real.test, "t10k", 10_000)):
        files = [f"{stem}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        raw, labels = (
            gzip.decompress((fashion_mnist.DEBIAN_DIR / file).read_bytes()) for file in files
        )
        originals = np.frombuffer(raw, np.uint8, offset=16).reshape(size, 784)
        expected = sorted(zip(map(bytes, originals), labels[8:], strict=True))
        actual = zip(map(bytes, split.images.reshape(size, 784)), split.labels, strict=True)
        assert sorted(actual) == expected
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int32)


def test_validation_is_the_end_of_the_training_split(data_dir: str, real: datasets.Dataset) -> None:
    held = datasets.load(DataConfig(data_dir=data_dir, validation_size=5_000))
    assert held.validation is not None
    np.testing.assert_array_equal(held.train.images, real.train.images[:55_000])
    np.testing.assert_array_equal(held.validation.images, real.train.images[55_000:])
    np.testing.assert_array_equal(held.validation.labels, real.train.labels[55_000:])
    np.testing.assert_array_equal(held.test.labels, real.test.labels)


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(ConfigError, match="validation_size=20000 leaves no training image"):
        datasets.load(DataConfig(name="garments", validation_size=20_000))


def test_original_headers_give_the_registered_checksums() -> None:
    registered = registered_checksums()
    for name in fashion_mnist.ORIGINAL_TIMES:
        content = (fashion_mnist.DEBIAN_DIR / name).read_bytes()
        restored = fashion_mnist.with_original_header(content, name)
        assert hashlib.sha256(restored).hexdigest() == registered[name]


def test_a_file_larger_than_the_original_is_not_read(idx_dir: Path, tmp_path: Path) -> None:
    os.truncate(idx_dir / "t10k-labels-idx1-ubyte.gz", 3 * 2**40)  # sparse
    with pytest.raises(DataError, match="it has 3298534883328 bytes, the original 5148;"):
        fashion_mnist.load(str(tmp_path / "data"), str(idx_dir))


def test_the_originals_themselves_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    for name in fashion_mnist.ORIGINAL_TIMES:
        content = (fashion_mnist.DEBIAN_DIR / name).read_bytes()
        (tmp_path / name).write_bytes(fashion_mnist.with_original_header(content, name))
    builder: Any = tfds.builder("fashion_mnist")
    fashion_mnist.restore_originals(tmp_path, builder, tmp_path / "target")
    for name, checksum in registered_checksums().items():
        content = (tmp_path / "target" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum


@pytest.mark.parametrize("spoil", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_spoilt_file(idx_dir: Path, tmp_path: Path, name: str, spoil: str) -> None:
    file = idx_dir / name
    content = bytearray(file.read_bytes())
    if spoil == "altered":
        content[len(content) // 2] ^= 1
    file.write_bytes(content[: {"truncated": -1, "empty": 0}.get(spoil, len(content))])
    with pytest.raises(DataError) as error:
        fashion_mnist.load(str(tmp_path / "data"), str(idx_dir))
    assert str(file) in str(error.value)
    assert hashlib.sha256(file.read_bytes()).hexdigest() in str(error.value)
    assert registered_checksums()[name] in str(error.value)
    assert not (tmp_path / "data" / "fashion_mnist").exists()


def test_missing_file(idx_dir: Path, tmp_path: Path) -> None:
    (idx_dir / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is missing"):
        fashion_mnist.load(str(tmp_path / "data"), str(idx_dir))


def test_damaged_records(
    data_dir: str, idx_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moved aside, and prepared again where there are originals, as there are not here."""
    datasets.load(DataConfig(data_dir=data_dir))
    copy = Path(shutil.copytree(data_dir, tmp_path / "data"))
    (records,) = copy.glob("fashion_mnist/*/fashion_mnist-test.tfrecord*")
    content = bytearray(records.read_bytes())
    content[len(content) // 2] ^= 1
    records.write_bytes(content)
    (idx_dir / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is missing"):
        fashion_mnist.load(str(copy), str(idx_dir))
    (line,) = capsys.readouterr().err.splitlines()
    for words in (str(records), "corrupted record", f"moved to {records.parent}.damaged"):
        assert words in line
    assert Path(f"{records.parent}.damaged", records.name).read_bytes() == content


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A machine without the files, whose proxy refuses, or accepts and answers nothing."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", Path("/nonexistent"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "refused":
            listener.close()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        yield


@pytest.mark.parametrize("no_network", ["refused", "silent"], indirect=True)
@pytest.mark.usefixtures("no_network")
def test_no_files_and_no_network(tmp_path: Path) -> None:
    threads = threading.active_count()
    with pytest.raises(DataError) as error:
        fashion_mnist.load(str(tmp_path / "data"), "")
    for remedy in (
        "apt-get install dataset-fashion-mnist",
        "config.data.idx_dir",
        "with a network",
    ):
        assert remedy in str(error.value)
    assert threading.active_count() <= threads + 1  # the question may still wait for its answer


def test_unwritable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"config\.data\.data_dir=.*file/data"):
        fashion_mnist.load(str(tmp_path / "file" / "data"), "")


def test_garments_are_seeded_and_balanced() -> None:
    images, labels = drawn_garments.draw(1_000, seed=3)
    again, _ = drawn_garments.draw(1_000, seed=3)
    other, _ = drawn_garments.draw(1_000, seed=4)
    assert drawn_garments.CLASS_NAMES == CLASSES
    assert (images.shape, images.dtype, labels.dtype) == ((1_000, 28, 28), np.uint8, np.int32)
    np.testing.assert_array_equal(images, again)
    assert (images != other).mean() > 0.1
    assert np.bincount(labels).tolist() == [100] * 10
    with pytest.raises(ValueError, match="0"):
        drawn_garments.draw(0, seed=0)


def test_garments_can_be_told_apart() -> None:
    """By ridge regression on pixels: well above chance, and not without mistakes."""
    dataset = datasets.load(DataConfig(name="garments"))

    def features(split: datasets.Split, size: int) -> np.ndarray:
        return np.c_[split.images[:size].reshape(size, -1) / 255.0, np.ones(size)]

    x, targets = features(dataset.train, 5_000), np.eye(10)[dataset.train.labels[:5_000]]
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(785), x.T @ targets)
    guesses = (features(dataset.test, 2_000) @ weights).argmax(1)
    assert 0.7 < np.mean(guesses == dataset.test.labels) < 0.95


def test_sequences() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    scaled = images.astype(np.float32) / 255
    for kind, expected in (
        ("rows", scaled),
        ("columns", scaled.transpose(0, 2, 1)),
        ("pixels", scaled.reshape(3, 784, 1)),
        ("permuted_pixels", scaled.reshape(3, 784, 1)[:, permutation(9, 0, 784)]),
    ):
        actual = np.asarray(to_sequences(images, kind, 9))
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="diagonals"):
        to_sequences(images, "diagonals", 0)


@pytest.mark.parametrize("kind", ["rows", "columns", "pixels", "permuted_pixels"])
def test_parts_of_colour_images(kind: str) -> None:
    images, _ = flags(2, 4)
    read = functools.partial(to_sequences, kind=kind, permutation_seed=0)
    shapes = {"rows": (12, 30), "columns": (10, 36)}
    assert read(images).shape[1:] == shapes.get(kind, (120, 3))
    expected = {"rows": images, "columns": images.swapaxes(1, 2), "pixels": images}
    if kind in expected:
        np.testing.assert_array_equal(parts(images, read), expected[kind])
    else:
        assert parts(images, read).shape == images.shape
