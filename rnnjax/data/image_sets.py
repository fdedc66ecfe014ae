"""Any image classification set of TFDS by its name: what it holds, and its images."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnjax.data.builders import check_network, data_folder, locked, open_builder
from rnnjax.data.records import Arrays, DamagedError, read
from rnnjax.errors import ConfigError, DataError
from rnnjax.system import distributed
from rnnjax.system.limits import host_memory_bytes
from rnnjax.system.messages import warn

CHANNELS = (1, 3)  # grey, or red, green and blue
REMEDY = (
    "run once with a network, or with --config.data.data_dir=DIR where TFDS has prepared it "
    "(`tfds build {} --data_dir=DIR`)"
)


class ImageSet(NamedTuple):
    """What TFDS knows of a set before an image of it is read."""

    builder: Any
    image_key: str  # of the feature that is classified
    label_key: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]  # [Y, X], or in colour [Y, X, C]


def find(name: str, data_dir: str) -> ImageSet:
    """Returns a set by its name; no image is read, and nothing prepared.

    Args:
      name: as TFDS has it, such as `mnist` or `emnist/balanced`.
      data_dir: TFDS's data folder; empty: its default.

    Raises:
      ConfigError: if there is no such set, or its images cannot be classified.
      DataError: if what its folder says of it cannot be read.
    """
    return _describe(name, open_builder(name, data_folder(data_dir)))


def _describe(name: str, builder: Any) -> ImageSet:
    image_key, label_key = _keys(name, builder)
    image, label = builder.info.features[image_key], builder.info.features[label_key]
    if None in image.shape:
        raise ConfigError(
            f"config.data.name={name!r} has images of different sizes, {image.shape}; a model "
            "reads images of one size"
        )
    height, width, channels = image.shape
    dtype = np.dtype(image.np_dtype)
    if channels not in CHANNELS or dtype != np.uint8:
        raise ConfigError(
            f"config.data.name={name!r} has images of {channels} channels, {dtype}; models read "
            "those of 1 or 3, uint8"
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    return ImageSet(builder, image_key, label_key, tuple(label.names), shape)


def _keys(name: str, builder: Any) -> tuple[str, str]:
    """Returns the names of what is classified, an image, and of its label."""
    from tensorflow_datasets.core.features import ClassLabel, Image

    features, keys = builder.info.features, builder.info.supervised_keys or ("image", "label")
    kinds = (Image, ClassLabel)
    if len(keys) == len(kinds) and all(
        isinstance(key, str) and key in features and isinstance(features[key], kind)
        for key, kind in zip(keys, kinds, strict=True)
    ):
        return keys
    raise ConfigError(
        f"config.data.name={name!r} has no images with one label each, but "
        f"{', '.join(sorted(features))}"
    )


def load(name: str, data_dir: str) -> tuple[Arrays, Arrays]:
    """Returns the images and labels of the training split and of the test split.

    A set without a test split is tested on its validation split. A set that is not prepared is
    downloaded and prepared as TFDS does.

    Raises:
      ConfigError: if there is no such set, it cannot be classified, or is larger than the memory.
      DataError: if it cannot be had, or is not as it was written.
    """
    try:
        found = find(name, data_dir)
        if not found.builder.is_prepared():
            _prepare(name, found.builder, data_folder(data_dir))
            found = find(name, data_dir)  # a builder does not notice what another run has prepared
        splits = _splits(name, found)
        train, test = (
            read(found.builder, split, found.image_key, found.label_key) for split in splits
        )
    except DamagedError as error:
        raise DataError(f"{error}; bring that file back, or remove its folder") from error
    except OSError as error:
        raise DataError(
            f"config.data.data_dir={data_dir!r}: {error}; name a folder that can be written"
        ) from error
    return train, test


def _splits(name: str, found: ImageSet) -> tuple[str, str]:
    """Returns the names of the splits for training and test, after a look at their size."""
    info = found.builder.info
    if info.file_format.value != "tfrecord":
        raise DataError(
            f"config.data.name={name!r} is stored as {info.file_format.value}; only tfrecord can "
            "be read"
        )
    test = "test" if "test" in info.splits else "validation"
    if missing := {"train", test} - {*info.splits}:
        raise ConfigError(
            f"config.data.name={name!r} has no {missing.pop()} split, but {', '.join(info.splits)}"
        )
    if test == "validation" and distributed.is_primary():
        warn(f"{name} has no test split: it is tested on its validation split")
    number = sum(info.splits[split].num_examples for split in ("train", test))
    needed, there = number * math.prod(found.image_shape), host_memory_bytes()
    if 2 * needed > there:  # on the host, and on the devices or on their way there
        raise ConfigError(
            f"config.data.name={name!r} takes at least {2 * needed / 2**30:,.1f} GiB, and there "
            f"are {there / 2**30:,.1f} GiB"
        )
    return "train", test


def _prepare(name: str, builder: Any, root: Path) -> None:
    """Lets the builder download its set and write its records."""
    import tensorflow_datasets as tfds

    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{builder.name}.lock"):
        if builder.is_prepared():
            return
        remedy = REMEDY.format(name)
        check_network(builder, name, remedy)
        try:
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
        except Exception as error:  # the downloader raises what its libraries raise
            reason = f"{error}".strip().splitlines() or [type(error).__name__]
            raise DataError(f"preparing {name} failed: {reason[0]}; {remedy}") from error
