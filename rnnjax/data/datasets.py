"""Data sets by name, as arrays on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from rnnjax.config import DataConfig
from rnnjax.data import drawn_garments, fashion_mnist
from rnnjax.errors import ConfigError

# Of every data set here.
CLASS_NAMES: tuple[str, ...] = drawn_garments.CLASS_NAMES
NUM_CLASSES, IMAGE_SHAPE = len(CLASS_NAMES), (28, 28)
GARMENTS_TRAIN, GARMENTS_TEST = 20_000, 2_000


class Split(NamedTuple):
    """Images and their labels, on the host; `devices.replicate` copies them to devices."""

    images: UInt8[np.ndarray, "N 28 28"]
    labels: Int32[np.ndarray, " N"]


class Dataset(NamedTuple):
    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    validation: Split | None  # None if nothing is held out


def load(config: DataConfig) -> Dataset:
    """Loads a data set and holds out the end of its training split.

    Raises:
      DataError: if the data cannot be found, or is not what it should be.
      ConfigError: if nothing would be left to train on.
    """
    import tensorflow as tf  # takes seconds: not before there is a run

    for kind in ("GPU", "TPU"):  # the accelerator is JAX's alone; TensorFlow would take all of it
        tf.config.set_visible_devices([], kind)
    if config.name == "garments":
        class_names = CLASS_NAMES
        train = Split(*drawn_garments.draw(GARMENTS_TRAIN, seed=0))
        test = Split(*drawn_garments.draw(GARMENTS_TEST, seed=1))
    else:
        class_names, *splits = fashion_mnist.load(config.data_dir, config.idx_dir)
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
        class_names=class_names,
        train=Split(train.images[:num_train], train.labels[:num_train]),
        test=test,
        validation=validation if config.validation_size else None,
    )
