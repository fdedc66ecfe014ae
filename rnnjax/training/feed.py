"""The images of a run on their way to the devices, from any step on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int32

from rnnjax.config import Config
from rnnjax.data import batches
from rnnjax.data.batches import Batch, Rows
from rnnjax.data.datasets import Dataset, Split
from rnnjax.seeds import seeds_of
from rnnjax.system.devices import Devices
from rnnjax.training.evaluation import device_batches


class Feed(NamedTuple):
    """Images for `train_steps` and `evaluate`; D is the axis of the local devices."""

    num_images: int  # of the training split
    split: Split | None  # the training images, replicated; None: they come with the batches
    batches: Iterator[Batch | Rows]  # one for each dispatch; rows of `split`
    evaluation: dict[str, list[Batch]]  # by split, leaves [D, B, ...]
    evaluated: dict[str, Split]  # the same splits, on the host


def open_feed(config: Config, devices: Devices, dataset: Dataset, first_step: int) -> Feed:
    """Puts images on the devices: training ones if they fit, else they are streamed.

    Args:
      config: the settings of the run.
      devices: of the run.
      dataset: its images.
      first_step: the steps taken before.
    """
    both = (("test", dataset.test), ("validation", dataset.validation))
    evaluated = {name: split for name, split in both if split is not None}
    on_device = config.data.on_device and devices.fits(dataset.train)
    num_images = len(dataset.train.labels)
    rows = stack_rows(
        batches.train_rows(
            num_images,
            seed,
            config.batch_size,
            range(first_step, config.num_steps),
            config.steps_per_dispatch,
            jax.process_index(),
            jax.process_count(),
        )
        for seed in seeds_of(config)
    )
    return Feed(
        num_images=num_images,
        split=devices.replicate(dataset.train) if on_device else None,
        batches=devices.prefetch(
            rows if on_device else batches.stream(dataset.train, rows),
            axis=1 if config.seeds == 1 else 2,
        ),
        evaluation={
            name: device_batches(devices, split, config.eval_batch_size)
            for name, split in evaluated.items()
        },
        evaluated=evaluated,
    )


def stack_rows(
    by_seed: Iterable[Iterator[Int32[np.ndarray, "S B"]]],
) -> Iterator[Int32[np.ndarray, "S *N B"]]:
    """Yields the rows of all seeds, `[S, N, B]`; of one seed `[S, B]`."""
    for rows in zip(*by_seed, strict=True):
        yield rows[0] if len(rows) == 1 else np.stack(rows, axis=1)
