"""Batches of images: endless for training, from any step on; each image once for evaluation."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.data.datasets import Split
from rnnjax.data.shuffle import batch_indices

PREFETCHED_BATCHES = 8  # made ahead on the host
STRETCH = 1_000  # dispatches whose order is made at once


class Batch(NamedTuple):
    images: np.ndarray | jax.Array  # [B, 28, 28], uint8
    labels: np.ndarray | jax.Array  # [B], int32
    mask: np.ndarray | jax.Array | None = None  # [B], bool, False: padding; None: all count


def train_rows(
    size: int,
    seed: int,
    batch_size: int,
    steps: range,
    steps_per_dispatch: int,
    process: int,
    num_processes: int,
) -> Iterator[np.ndarray]:
    """Yields which images this process's share of the batches holds, `[K, B]`, int32.

    Args:
      size: of the training split.
      seed: of the images' order.
      batch_size: images a step over all processes; a multiple of `num_processes`.
      steps: the steps to choose for; a multiple of K.
      steps_per_dispatch: K, the steps of one item.
      process: index of this process.
      num_processes: how many share a batch.
    """
    share = batch_size // num_processes
    mine = slice(process * share, (process + 1) * share)
    for first in steps[::steps_per_dispatch]:
        together = range(first, first + steps_per_dispatch)
        rows = [batch_indices(seed, step, batch_size, size)[mine] for step in together]
        yield np.stack(rows).astype(np.int32)


def stream(split: Split, rows: Iterator[np.ndarray]) -> Iterator[Batch]:
    """Fetches the images of `train_rows` with tf.data: leaves `[K, B, ...]`."""
    import tensorflow as tf  # takes seconds: not before there is a run

    images, labels = tf.constant(split.images), tf.constant(split.labels)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread holds up the end of the data for seconds

    def gather(rows: Any) -> tuple[Any, Any]:
        return tf.gather(images, rows), tf.gather(labels, rows)

    # The order is made a stretch at a time, so that no Python runs in tf.data's threads: a
    # generator there took a tenth of the training's speed.
    while stretch := list(itertools.islice(rows, STRETCH)):
        dataset = tf.data.Dataset.from_tensor_slices(np.stack(stretch)).map(gather)
        dataset = dataset.prefetch(PREFETCHED_BATCHES).with_options(options)
        for batch in dataset.as_numpy_iterator():
            yield Batch(*batch)


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
