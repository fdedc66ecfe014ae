"""Data sets by name, as arrays on the host."""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from rnnjax.config import DataConfig
from rnnjax.data import drawn_garments, fashion_mnist, image_sets
from rnnjax.errors import ConfigError

GARMENTS_TRAIN, GARMENTS_TEST = 20_000, 2_000


class DatasetInfo(NamedTuple):
    """What a model has to know of a data set."""

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]  # [Y, X], or in colour [Y, X, C]


GARMENTS = DatasetInfo("garments", drawn_garments.CLASS_NAMES, (28, 28))
# Those that are known without a look at TFDS.
KNOWN = {"garments": GARMENTS, "fashion_mnist": GARMENTS._replace(name="fashion_mnist")}


class Split(NamedTuple):
    """Images and their labels, on the host; `devices.replicate` copies them to devices."""

    images: UInt8[np.ndarray, "N Y X *C"]
    labels: Int32[np.ndarray, " N"]


class Dataset(NamedTuple):
    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    validation: Split | None  # None if nothing is held out


def describe(config: DataConfig) -> DatasetInfo:
    """Returns what there is to know of a data set; no image is read, and nothing prepared.

    For all but the drawn garments and Fashion-MNIST, TFDS is asked.

    Raises:
      ConfigError: if there is no such set, or its images cannot be classified.
      DataError: if what TFDS has on the disk of it cannot be read.
    """
    if config.name in KNOWN:
        return KNOWN[config.name]
    found = image_sets.find(config.name, config.data_dir)
    return DatasetInfo(config.name, found.class_names, found.image_shape)


def load(config: DataConfig) -> Dataset:
    """Loads a data set and holds out the end of its training split.

    Raises:
      DataError: if the data cannot be found, or is not what it should be.
      ConfigError: if there is no such set, it cannot be classified, does not fit into memory, or
        nothing of it would be left to train on.
    """
    import tensorflow as tf  # takes seconds: not before there is a run

    for kind in ("GPU", "TPU"):  # the accelerator is JAX's alone; TensorFlow would take all of it
        tf.config.set_visible_devices([], kind)
    if config.name == "garments":
        train = Split(*drawn_garments.draw(GARMENTS_TRAIN, seed=0))
        test = Split(*drawn_garments.draw(GARMENTS_TEST, seed=1))
    elif config.name == "fashion_mnist":
        splits = fashion_mnist.load(config.data_dir, config.idx_dir)
        train, test = (Split(*split) for split in splits)
    else:
        splits = image_sets.load(config.name, config.data_dir)
        train, test = (Split(*split) for split in splits)
    num_train = len(train.labels) - config.validation_size
    if num_train < 1:
        raise ConfigError(
            f"config.data.validation_size={config.validation_size} leaves no training image of "
            f"{len(train.labels)}"
        )
    validation = Split(train.images[num_train:], train.labels[num_train:])
    return Dataset(
        name=config.name,
        class_names=describe(config).class_names,
        train=Split(train.images[:num_train], train.labels[:num_train]),
        test=test,
        validation=validation if config.validation_size else None,
    )


def digests(dataset: Dataset) -> dict[str, str]:
    """Returns the beginning of the sha256 of the images and labels of each split, by its name."""
    splits = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
    return {f"sha256 of {name}": _digest(split) for name, split in splits.items() if split}


def _digest(split: Split) -> str:
    digest = hashlib.sha256()
    for array in split:
        digest.update(f"{array.dtype} {array.shape}".encode())
        # Of the array itself: a copy of a data set may be half of the memory.
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
