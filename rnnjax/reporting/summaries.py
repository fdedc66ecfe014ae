"""What TensorBoard shows of a run, one folder for each split."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clu import metric_writers

from rnnjax.data.datasets import Dataset
from rnnjax.system import distributed

NUM_IMAGES = 10


@contextlib.contextmanager
def open_writers(
    workdir: Path, splits: tuple[str, ...]
) -> Iterator[dict[str, metric_writers.MetricWriter]]:
    """Yields a writer for each split, and closes them all whatever happens.

    They write in threads of their own, so that training does not wait; what fails there is raised
    by the next call or at the end. In all processes but the first, nothing is written.
    """
    if not distributed.is_first():
        yield {split: metric_writers.MultiWriter([]) for split in splits}
        return
    with contextlib.ExitStack() as stack:
        writers: dict[str, metric_writers.MetricWriter] = {}
        for split in splits:
            # CLU's default would also print everything, and fails on constant histograms there.
            writer = metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(workdir / split)))
            stack.callback(writer.close)
            stack.callback(writer.flush)
            writers[split] = writer
        yield writers


def write_start(
    writers: dict[str, metric_writers.MetricWriter], hparams: dict[str, Any], dataset: Dataset
) -> None:
    """Writes what is true of the whole run: settings, the data set's name, some input images."""
    plain = (bool, int, float, str)
    shown = {k: v if isinstance(v, plain) else repr(v) for k, v in hparams.items()}
    classes = ", ".join(dataset.class_names)
    images = dataset.train.images[:NUM_IMAGES, :, :, None]
    for writer in writers.values():
        writer.write_texts(0, {"dataset": f"{dataset.name}: {classes}"})
    writers["train"].write_hparams(shown)
    writers["train"].write_images(0, {f"images/{dataset.name}": images})


def write_histograms(
    writer: metric_writers.MetricWriter,
    step: int,
    readout: dict[str, np.ndarray],
    last_hidden: np.ndarray,
) -> None:
    """Writes the histograms of the seed: the readout's parameters, the last hidden states."""
    arrays = {
        "readout/weight": readout["kernel"],
        "readout/bias": readout["bias"],
        "last_hidden_state": last_hidden,
    }
    writer.write_histograms(step, arrays)
