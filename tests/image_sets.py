"""Sets of labelled images as TFDS itself stores them, made of drawn and random ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from rnnjax.data.drawn_garments import draw

Arrays = tuple[np.ndarray, np.ndarray]
COLOURS = ("red", "green", "blue", "white")


def store(
    root: Path, name: str, features: Mapping[str, Any], splits: Mapping[str, Arrays], version: str
) -> None:
    """Stores labelled images, whose features are the image and the label."""
    examples = {
        split: [
            (n, dict(zip(features, example, strict=True)))
            for n, example in enumerate(zip(images, labels.tolist(), strict=True))
        ]
        for split, (images, labels) in splits.items()
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name, version, tfds.features.FeaturesDict(features), examples, data_dir=root
    )


def features(shape: tuple[int | None, ...], num_classes: int = 4) -> dict[str, Any]:
    label = tfds.features.ClassLabel(num_classes=num_classes)
    return {"image": tfds.features.Image(shape=shape), "label": label}


def store_mnist(root: Path, num_train: int = 600) -> None:
    """Stores garments in the place of MNIST, the version of which they have."""

    def grey(number: int, seed: int) -> Arrays:
        images, labels = draw(number, seed)
        return images[..., None], labels

    splits = {"train": grey(num_train, 0), "test": grey(120, 1)}
    store(root, "mnist", features((28, 28, 1), 10), splits, "3.0.1")


def flags(number: int, seed: int) -> Arrays:
    """Returns images of 12x10 pixels with noise, in one of four colours."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(COLOURS), number)
    strength = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])[labels, None, None]
    noise = rng.integers(0, 100, (number, 12, 10, 3))
    return (noise + 150 * strength).astype(np.uint8), labels


def store_flags(root: Path) -> None:
    """Stores `flags`, with a validation split and no test split."""
    kinds = features((12, 10, 3)) | {"label": tfds.features.ClassLabel(names=COLOURS)}
    splits = {"train": flags(200, 0), "validation": flags(60, 1)}
    store(root, "flags", kinds, splits, "1.0.0")
