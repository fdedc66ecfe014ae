"""Prepared records that TensorFlow must not see, or whose labels are none."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from rnnjax.compat import masked_crc32c
from rnnjax.data import records
from rnnjax.data.records import DamagedError


@pytest.fixture
def builder(data_dir: str, real: Any, tmp_path: Path) -> Any:
    """Of a copy of the test split, to be spoilt."""
    shutil.copytree(data_dir, tmp_path / "data", ignore=shutil.ignore_patterns("*train*"))
    return tfds.builder("fashion_mnist", data_dir=tmp_path / "data")


@pytest.fixture
def file(builder: Any) -> Path:
    (path,) = builder.info.splits["test"].filepaths
    return Path(path)


def header(length: int) -> bytes:
    """Returns how a record of some length begins."""
    length_bytes = length.to_bytes(8, "little")
    return length_bytes + masked_crc32c(length_bytes).to_bytes(4, "little")


@pytest.mark.parametrize("length", [2**40, 2**62])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_length_out_of_all_bounds(builder: Any, file: Path, length: int, place: str) -> None:
    """TensorFlow would crash."""
    if place == "first":
        with file.open("r+b") as start:
            start.write(header(length))
    else:
        last = 0
        content = file.read_bytes()
        while (end := last + 16 + int.from_bytes(content[last : last + 8], "little")) < len(
            content
        ):
            last = end
        file.write_bytes(content[:last] + header(length) + content[last + 12 :])
    with pytest.raises(DamagedError, match=f"{file}: its .* bytes are not made up of records"):
        records.read(builder, "test")


def test_one_record_too_many(builder: Any, file: Path) -> None:
    content = file.read_bytes()
    first = content[: 8 + 4 + int.from_bytes(content[:8], "little") + 4]
    file.write_bytes(content + first)
    with pytest.raises(records.DamagedError, match="more than 10000 records"):
        records.read(builder, "test")


def test_a_length_that_a_sparse_file_has(builder: Any, file: Path) -> None:
    """It takes no room on the disk, but would in memory."""
    file.write_bytes(header(2**40))
    os.truncate(file, 2**41)
    with pytest.raises(DamagedError, match=f"{file}: its {2**41} bytes are not made up of records"):
        records.read(builder, "test")


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_that_are_none(builder: Any, file: Path, label: int) -> None:
    written: list[Any] = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    example = tf.train.Example.FromString(written[0])
    example.features.feature["label"].int64_list.value[:] = [label]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in (example.SerializeToString(), *written[1:]):
            writer.write(record)
    with pytest.raises(DamagedError, match=rf"{file}: labels that are not in \[0, 10\)"):
        records.read(builder, "test")
