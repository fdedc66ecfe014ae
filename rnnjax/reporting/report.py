"""What TensorBoard shows of a run, or of one seed of several: in the words of training."""

import shlex
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from clu.asynclib import Pool
from clu.metric_writers import MetricWriter
from tensorflow.core.framework.graph_pb2 import GraphDef

from rnnjax.reporting import figures, summaries
from rnnjax.reporting.lines import is_skipped
from rnnjax.reporting.resumed_events import merge_events
from rnnjax.system import distributed, files
from rnnjax.system.messages import warn
from rnnjax.system.numerics import LIBRARIES

VERSIONS = (*LIBRARIES, "tensorflow-datasets", "numpy")  # that are shown


class Report:
    """Shows the figures of a run, which are floats and arrays on the host.

    `open_report` makes one. In all processes but the primary one it writes nothing.
    Whatever cannot be written is an OSError.
    """

    def __init__(self, writers: Mapping[str, MetricWriter], dataset: str) -> None:
        self._writers = writers
        self._dataset = dataset

    def flush(self) -> None:
        """Waits until all summaries are in their files."""
        summaries.flush(self._writers)

    def start(
        self,
        settings: Mapping[str, object],
        compared: Container[str],
        group: str,
    ) -> None:
        """Shows the settings that a run starts with, or goes on with, in the place of earlier ones.

        Args:
          settings: by name.
          compared: the names of those that are shown first where runs are side by side.
          group: the name of those runs that differ in the seed alone.
        """
        texts = {"settings": _table(settings), "command": f"`{shlex.join(sys.argv)}`"}
        texts["versions"] = _table({name: version(name) for name in VERSIONS})
        summaries.write_start(self._writers, group, settings, compared, texts)

    def data(self, class_names: Sequence[str], images: np.ndarray, labels: np.ndarray) -> None:
        """Shows the first of labelled images, as `images` has them, of a run that begins."""
        summaries.write_data(self._writers, self._dataset, class_names, images, labels)

    def end(self, step: int, figures: Mapping[str, float]) -> None:
        """Shows what the run has come to, by the names in `summaries.FINAL_FIGURES`."""
        summaries.write_end(self._writers, step, figures)

    def training(self, step: int, epoch: float, scalars: Mapping[str, float]) -> None:
        """Shows the averages over the steps since the last call.

        Args:
          step: the steps taken.
          epoch: how often each training image was seen.
          scalars: `loss`, `accuracy`, `steps_per_second` and whatever else there is, by tag.
        """
        if not is_skipped(scalars):
            summaries.write_scalars(self._writers["train"], step, {**scalars, "epoch": epoch})

    def evaluation(self, step: int, split: str, *, loss: float, accuracy: float) -> None:
        """Shows the loss and the accuracy on a whole split."""
        scalars = {"loss": loss, "accuracy": accuracy}
        summaries.write_scalars(self._writers[split], step, scalars)

    def last_hidden(self, step: int, split: str, states: np.ndarray) -> None:
        """Shows the distribution of last hidden states, `[B, H]`."""
        summaries.write_histograms(self._writers[split], step, {"last_hidden_state": states})

    def distributions(self, step: int, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Shows the distributions of arrays by name, `parameters` or `gradients`."""
        tags = {f"{kind}/{name}": array for name, array in arrays.items()}
        summaries.write_histograms(self._writers["train"], step, tags)

    def gates(self, step: int, state: str, shares: Mapping[str, np.ndarray]) -> None:
        """Shows which share of each gate is closed, or open, over time.

        Args:
          step: the steps taken.
          state: `closed` or `open`.
          shares: by `layer/gate`, `[T]`.
        """
        if shares:
            means = {f"gates_{state}/{name}": float(x.mean()) for name, x in shares.items()}
            summaries.write_scalars(self._writers["train"], step, means)
            self._over_time(step, f"gates_{state}", shares, f"share of a gate that is {state}")

    def gradient_norms(self, step: int, norms: Mapping[str, np.ndarray]) -> None:
        """Shows the norm of the loss's gradient with respect to each step's carry.

        Args:
          step: the steps taken.
          norms: by layer, `[T]`.
        """
        if not norms:  # nothing is known of the carries of such cells
            return
        scalars = {}
        for layer, over_time in norms.items():
            middle = len(over_time) // 2
            for place, t in (("first", 0), ("middle", middle), ("last", -1)):
                scalars[f"carry_gradient/{layer}/{place}_step"] = float(over_time[t])
        summaries.write_scalars(self._writers["train"], step, scalars)
        title = "norm of the loss's gradient with respect to the carry"
        self._over_time(step, "carry_gradient", norms, title, logarithmic=True)

    def class_accuracies(self, step: int, split: str, accuracies: Mapping[str, float]) -> None:
        """Shows the share of each class's images that is told right."""
        tags = {f"class_accuracy/{name}": float(share) for name, share in accuracies.items()}
        summaries.write_scalars(self._writers[split], step, tags)

    def confusion(self, step: int, split: str, table: np.ndarray, names: Sequence[str]) -> None:
        """Shows how many images of each class (rows) were taken for each class (columns)."""
        picture = figures.confusion(table, names)
        summaries.write_pictures(self._writers[split], step, {"confusion": picture})

    def images(
        self,
        step: int,
        split: str,
        tag: str,
        images: np.ndarray,
        captions: Sequence[Sequence[str]],
    ) -> None:
        """Shows images, `[N, Y, X]` or `[N, Y, X, C]`, uint8, with lines of text below each."""
        if len(images):
            picture = figures.grid(images, captions)
            summaries.write_pictures(self._writers[split], step, {tag: picture})

    def beliefs(
        self,
        step: int,
        split: str,
        images: np.ndarray,
        probabilities: np.ndarray,
        names: Sequence[str],
    ) -> None:
        """Shows images as read, `[N, T, X]` or `[N, T, X, C]`, with probabilities, `[N, T, K]`."""
        pictures = {
            f"belief/{n}": figures.belief(image, of_image, names)
            for n, (image, of_image) in enumerate(zip(images, probabilities, strict=True))
        }
        summaries.write_pictures(self._writers[split], step, pictures)

    def pr_curves(self, step: int, split: str, curves: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Shows precision and recall of each class, as `plugins.write_pr_curves` wants them."""
        summaries.write_pr_curves(self._writers[split], step, curves)

    def graph(self, step: int, graph: GraphDef) -> None:
        """Shows the computation of the model."""
        summaries.write_graph(self._writers["train"], step, graph)

    def _over_time(
        self,
        step: int,
        tag: str,
        values: Mapping[str, np.ndarray],
        title: str,
        *,
        logarithmic: bool = False,
    ) -> None:
        stripes = np.stack([*values.values()])
        picture = figures.over_time(stripes, [*values], title, logarithmic=logarithmic)
        summaries.write_pictures(self._writers["train"], step, {tag: picture})


def _table(rows: Mapping[str, object]) -> str:
    """Returns a table in Markdown."""
    lines = [f"| {name} | `{value}` |" for name, value in rows.items()]
    return "\n".join(("| name | value |", "|---|---|", *lines))


@contextmanager
def open_report(
    folder: Path,
    pool: Pool,
    dataset: str,
    splits: Sequence[str],
    *,
    first_step: int,
    evaluates_first: bool,
) -> Iterator[Report]:
    """Yields a report whose writers are flushed and closed in the end, whatever happens.

    Args:
      folder: of its summaries.
      pool: where all reports of this process write.
      dataset: the name of its data set.
      splits: those that there are figures of, `train` among them.
      first_step: steps that were taken before; what was written of later ones is dropped.
      evaluates_first: whether the evaluation after `first_step` is made again, so that what was
        written of it is dropped too.

    Raises:
      OSError: if something cannot be written.
    """
    if distributed.is_primary():
        files.make_folder(folder)
    for split in splits if distributed.is_primary() else ():
        files.make_folder(folder / split)
        end = first_step if split != "train" and evaluates_first else first_step + 1
        steps = range(end) if first_step else range(0)
        if not merge_events(folder / split, steps, summaries.OF_EACH_START) and first_step:
            warn(f"{folder / split} has no summaries of the {first_step} steps before")
    with summaries.open_writers(folder, splits, pool) as writers:
        yield Report(writers, dataset)
