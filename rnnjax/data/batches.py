"""Batches of images: endless for training, from any step on; each image once for evaluation."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int32, UInt8

from rnnjax.data.datasets import Split
from rnnjax.data.shuffle import batch_indices

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCHED_BATCHES = 8  # made on the host before they are asked for
DISPATCHES_PER_DATASET = 1_000  # whose rows are given to tf.data at once


# Which images of a split the batches of S steps hold; D: the local devices.
Rows = Int32[np.ndarray | Array, "*D S B"]


class Batch(NamedTuple):
    """Images and their labels; before B there may be the axes of steps and of devices."""

    images: UInt8[np.ndarray | Array, "..."]  # [*S, B, Y, X], or in colour [*S, B, Y, X, C]
    labels: Int32[np.ndarray | Array, "*S B"]
    mask: Bool[np.ndarray | Array, "*S B"] | None = None  # False: padding; None: all count
    rows: Int32[np.ndarray | Array, "*S B"] | None = None  # of the training split, in training


def train_rows(
    size: int,
    seed: int,
    batch_size: int,
    steps: range,
    steps_per_dispatch: int,
    process: int,
    num_processes: int,
) -> Iterator[Int32[np.ndarray, "S B"]]:
    """Yields which images this process's share of the batches holds, `[S, B]`, int32.

    Args:
      size: of the training split.
      seed: of the images' order.
      batch_size: images a step over all processes; a multiple of `num_processes`.
      steps: the steps to choose for; a multiple of S.
      steps_per_dispatch: S, the steps of one item.
      process: index of this process.
      num_processes: how many share a batch.
    """
    share = batch_size // num_processes
    own = slice(process * share, (process + 1) * share)
    for first in steps[::steps_per_dispatch]:
        dispatch = range(first, first + steps_per_dispatch)
        rows = [batch_indices(seed, step, batch_size, size)[own] for step in dispatch]
        yield np.stack(rows).astype(np.int32)


def stream(split: Split, rows: Iterator[Int32[np.ndarray, "*S B"]]) -> Iterator[Batch]:
    """Fetches the images of `train_rows`, `[S, B]`, with tf.data: leaves `[S, B, ...]`."""
    import tensorflow as tf  # takes seconds: not before there is a run

    images, labels = tf.constant(split.images), tf.constant(split.labels)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread holds up the end of the data for seconds

    def gather(rows: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        return tf.gather(images, rows), tf.gather(labels, rows), rows

    # The rows of many dispatches are arrays, so that no Python runs in tf.data's threads: a
    # generator there took a tenth of the training's speed.
    while dispatches := list(itertools.islice(rows, DISPATCHES_PER_DATASET)):
        dataset = tf.data.Dataset.from_tensor_slices(np.stack(dispatches)).map(gather)
        dataset = dataset.prefetch(PREFETCHED_BATCHES).with_options(options)
        for images_of, labels_of, rows_of in dataset.as_numpy_iterator():
            yield Batch(images_of, labels_of, rows=rows_of)


def eval_batches(
    split: Split, batch_size: int, process: int, num_processes: int
) -> Iterator[Batch]:
    """Yields this process's share of all images, each once, in order; the last batch is padded.

    Args:
      split: the images.
      batch_size: images a batch over all processes; a multiple of `num_processes`.
      process: index of this process.
      num_processes: how many share a batch.
    """
    share, size = batch_size // num_processes, len(split.labels)
    for start in range(process * share, size + process * share, batch_size):
        rows = np.arange(start, start + share)
        inside = np.minimum(rows, size - 1)
        yield Batch(split.images[inside], split.labels[inside], rows < size)
