"""What TensorBoard shows of a run, one folder for each split: scalars, histograms, images, text."""

import contextlib
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from clu import metric_writers
from clu.asynclib import AsyncError, Pool
from clu.metric_writers import MetricWriter
from tensorflow.core.framework.graph_pb2 import GraphDef

from rnnjax import compat, stored_config
from rnnjax.reporting import figures, plugins
from rnnjax.system import distributed

NUM_IMAGES = 10
FINAL_FIGURES = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
FINAL_FIGURES += ("num_parameters", "seconds")
TEXTS = ("settings", "command", "versions")
# How the tags begin of what a run that goes on writes anew.
OF_EACH_START = (*TEXTS, *plugins.START_TAGS, *plugins.END_TAGS)
# Of all splits together, in the plugin Custom Scalars; tags are regular expressions.
CHARTS = {
    "accuracy": ["^accuracy$"],
    "loss": ["^loss$"],
    "accuracy by class": ["^class_accuracy/"],
    "gradient with respect to the carry": ["^carry_gradient/"],
    "gates, closed": ["^gates_closed/"],
    "gates, open": ["^gates_open/"],
}


@contextlib.contextmanager
def writer_error_as_os_error() -> Iterator[None]:
    """Turns what TensorFlow and CLU raise when a file cannot be written into an OSError.

    It decorates functions too.

    Raises:
      OSError: with the reason alone.
    """
    try:
        yield
    except (tf.errors.OpError, AsyncError) as error:
        cause = error.__cause__ if isinstance(error, AsyncError) else error
        # TensorFlow names its own function before the reason and repeats it on further lines.
        lines = str(cause).split("}} ")[-1].splitlines()
        raise OSError(lines[0] if lines else type(cause).__name__) from error


def open_pool() -> Pool:
    """Returns what writes, one thread for all.

    Two that wrote histograms at the same time crashed the process, twice in 1,000 runs (TensorFlow
    2.21, a segmentation fault in the first operations of two threads).
    """
    return Pool(max_workers=1)


@contextlib.contextmanager
def open_writers(
    folder: Path, splits: Sequence[str], pool: Pool
) -> Iterator[dict[str, MetricWriter]]:
    """Yields a writer for each split, and closes them all whatever happens.

    They write in the thread of a pool, so that training does not wait; an error there is raised by
    the next call or at the end. In all processes but the primary one, nothing is written.

    Args:
      folder: where each split has a folder.
      splits: their names.
      pool: of `open_pool`.

    Raises:
      OSError: if the files cannot be made or written.
    """
    if not distributed.is_primary():
        yield {split: metric_writers.MultiWriter([]) for split in splits}
        return
    with contextlib.ExitStack() as stack:
        writers: dict[str, MetricWriter] = {}
        for split in splits:
            writers[split] = _open_writer(folder / split, pool)
            stack.callback(writer_error_as_os_error()(writers[split].close))
            stack.callback(writer_error_as_os_error()(writers[split].flush))
        yield writers


class _Writer(metric_writers.SummaryWriter):
    """CLU's writer of event files, but for what takes TensorFlow some 2 % of a run's time."""

    def write_histograms(
        self,
        step: int,
        arrays: Mapping[str, Any],
        num_buckets: Mapping[str, int] | None = None,
    ) -> None:
        del num_buckets  # TensorBoard's own default
        plugins.write_histograms(self, step, arrays)

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        plugins.write_images(self, step, images)


@writer_error_as_os_error()
def _open_writer(folder: Path, pool: Pool) -> MetricWriter:
    # CLU's default would also print everything, and fails on constant histograms there.
    writer = metric_writers.AsyncWriter(_Writer(str(folder)))
    compat.write_in(pool, writer)
    return writer


@writer_error_as_os_error()
def write_start(
    writers: Mapping[str, MetricWriter],
    group: str,
    settings: Mapping[str, object],
    compared: Container[str],
    texts: Mapping[str, str],
) -> None:
    """Writes what each start of a run writes anew, by tags that are in `OF_EACH_START`.

    Args:
      writers: by split; there is one of `train`.
      group: the name of those runs that differ in the seed alone.
      settings: by name.
      compared: the names of those that are shown first where runs are side by side.
      texts: by tag, of `TEXTS`; in Markdown.
    """
    plain = (bool, int, float, str)
    # HParams shows the settings of one run for the whole group, so they are without the seed.
    shared = {k: v for k, v in settings.items() if k not in stored_config.SEEDS}
    values = {k: v if isinstance(v, plain) else repr(v) for k, v in shared.items()}
    plugins.write_session(writers["train"], group, values, compared, FINAL_FIGURES)
    writers["train"].write_texts(0, texts)


@writer_error_as_os_error()
def write_data(
    writers: Mapping[str, MetricWriter],
    dataset: str,
    class_names: Sequence[str],
    images: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Writes what is true of the whole run: of its data, and how its figures are laid out.

    Args:
      writers: by split; there is one of `train`.
      dataset: the name of the data set.
      class_names: of its labels.
      images: `[N, Y, X]`, or in colour `[N, Y, X, C]`, uint8, of which the first are shown.
      labels: of theirs, `[N]`.
    """
    for writer in writers.values():
        writer.write_texts(0, {"dataset": f"{dataset}: {', '.join(class_names)}"})
    plugins.write_layout(writers["train"], CHARTS)
    captions = [[class_names[int(label)]] for label in labels[:NUM_IMAGES]]
    picture = figures.grid(images[:NUM_IMAGES], captions)
    writers["train"].write_images(0, {f"images/{dataset}": picture[None]})


@writer_error_as_os_error()
def write_end(writers: Mapping[str, MetricWriter], step: int, figures: Mapping[str, float]) -> None:
    """Writes what a run has come to, by the names in `FINAL_FIGURES`."""
    plugins.write_session_end(writers["train"], step, figures)


@writer_error_as_os_error()
def write_scalars(writer: MetricWriter, step: int, scalars: Mapping[str, float]) -> None:
    """Writes figures of a step, by tag."""
    writer.write_scalars(step, scalars)


@writer_error_as_os_error()
def write_histograms(writer: MetricWriter, step: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the distributions of arrays, by tag."""
    writer.write_histograms(step, arrays)


@writer_error_as_os_error()
def write_pictures(writer: MetricWriter, step: int, pictures: Mapping[str, np.ndarray]) -> None:
    """Writes pictures `[Y, X, 3]`, uint8, by tag."""
    writer.write_images(step, {tag: picture[None] for tag, picture in pictures.items()})


@writer_error_as_os_error()
def write_pr_curves(
    writer: MetricWriter, step: int, curves: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Writes curves of precision and recall, as `plugins.write_pr_curves` wants them."""
    plugins.write_pr_curves(writer, step, curves)


@writer_error_as_os_error()
def write_graph(writer: MetricWriter, step: int, graph: GraphDef) -> None:
    """Writes the graph of a computation."""
    plugins.write_graph(writer, step, graph)


@writer_error_as_os_error()
def flush(writers: Mapping[str, MetricWriter]) -> None:
    """Waits until all that was written is in the files."""
    for writer in writers.values():
        writer.flush()
