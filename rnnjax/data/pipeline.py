"""Batches of images: endless for training, from any step on; each image once for evaluation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.data.order import batch_indices
from rnnjax.data.sources import Split

PREFETCHED_BATCHES = 8  # made ahead on the host
STRETCH = 1_000  # steps whose order is made at once


class Batch(NamedTuple):
    images: np.ndarray | jax.Array  # [B, 28, 28], uint8
    labels: np.ndarray | jax.Array  # [B], int32
    mask: np.ndarray | jax.Array | None = None  # [B], bool, False: padding; None: all count


def train_batches(
    split: Split, seed: int, batch_size: int, steps: range, process: int, num_processes: int
) -> Iterator[Batch]:
    """Streams this process's share of the batch of each of `steps`, with tf.data.

    Args:
      split: the training images.
      seed: of their order.
      batch_size: images a step over all processes; a multiple of `num_processes`.
      steps: the steps to make batches for.
      process: index of this process.
      num_processes: how many share a batch.
    """
    import tensorflow as tf  # takes seconds: not before there is a run

    share = batch_size // num_processes
    mine = slice(process * share, (process + 1) * share)
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread holds up the end of the data for seconds

    def gather(rows: Any) -> tuple[Any, Any]:
        return tf.gather(images, rows), tf.gather(labels, rows)

    # The order is made a stretch of steps at a time, so that no Python runs in tf.data's threads:
    # a generator there took a tenth of the training's speed.
    for start in range(0, len(steps), STRETCH):
        rows = [
            batch_indices(seed, step, batch_size, len(split.labels))[mine]
            for step in steps[start : start + STRETCH]
        ]
        dataset = tf.data.Dataset.from_tensor_slices(np.stack(rows)).map(gather)
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
