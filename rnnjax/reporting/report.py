"""What the person who started a run gets to see of it: lines, a bar, TensorBoard, a result file."""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from clu.metric_writers import MetricWriter

from rnnjax.config import Config, to_dict
from rnnjax.data.datasets import Dataset
from rnnjax.reporting import summaries
from rnnjax.reporting.event_files import keep_events
from rnnjax.reporting.terminal import Display
from rnnjax.system import devices, distributed
from rnnjax.training.evaluation import Evaluation
from rnnjax.training.state import TrainState


class Result(NamedTuple):
    """The end of a run, as in result.json."""

    test_accuracy: float  # share of all test images
    test_loss: float  # mean cross-entropy, nats
    steps: int
    seconds: float  # spent in the processes that took these steps, start-up and evaluation included
    dataset: str
    seed: int
    validation_accuracy: float | None = None  # None if nothing was held out

    def __str__(self) -> str:
        return (
            f"test accuracy {self.test_accuracy:.4f}, loss {self.test_loss:.4f} after "
            f"{self.steps} steps on {self.dataset} in {self.seconds:.0f} s"
        )


def load_result(path: Path) -> Result | None:
    """Returns the result of a run that has ended; None if there is none to read."""
    try:
        result = Result(**json.loads(path.read_text()))
        figures = (result.test_accuracy, result.test_loss, result.seconds)
        return result if type(result.steps) is int and math.isfinite(sum(figures)) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


class Report:
    """Shows a run's figures as they come; `open_report` makes one."""

    def __init__(self, writers: dict[str, MetricWriter], display: Display, dataset: Dataset):
        self._writers = writers
        self._display = display
        self._dataset = dataset

    def line(self, text: str) -> None:
        self._display.line(text)

    def steps(self, count: int) -> None:
        self._display.advance(count)

    def flush(self) -> None:
        """Waits until all summaries are in their files."""
        for writer in self._writers.values():
            writer.flush()

    def training(self, step: int, epoch: float, figures: dict[str, float]) -> None:
        """Shows the averages of the steps since the last call."""
        if not math.isfinite(figures["cross_entropy"]) and figures.get("skipped_steps"):
            self.line(f"{'':14}step {step:6d}  every step since the last figures was skipped")
            return
        self._writers["train"].write_scalars(step, {**figures, "epoch": epoch})
        self.line(
            f"epoch {epoch:6.2f}  step {step:6d}  training accuracy {figures['accuracy']:.4f}  "
            f"loss {figures['cross_entropy']:.4f}  {figures['steps_per_second']:.1f} steps/s"
        )

    def evaluation(self, step: int, split: str, evaluation: Evaluation, state: TrainState) -> None:
        """Shows the figures of a whole split."""
        figures = {"cross_entropy": evaluation.cross_entropy, "accuracy": evaluation.accuracy}
        self._writers[split].write_scalars(step, figures)
        self.histograms(step, split, state, evaluation.last_hidden)
        self.line(
            f"{'':14}step {step:6d}  {split} accuracy {evaluation.accuracy:.4f}  "
            f"loss {evaluation.cross_entropy:.4f}  ({self._dataset.name})"
        )

    def histograms(self, step: int, split: str, state: TrainState, last_hidden: np.ndarray) -> None:
        readout = jax.device_get(devices.unreplicate(state.params["readout"]))
        summaries.write_histograms(self._writers[split], step, readout, last_hidden)


@contextmanager
def open_report(
    workdir: Path, config: Config, dataset: Dataset, first_step: int, *, forget_last: bool
) -> Iterator[Report]:
    """Yields a report whose writers are flushed and closed in the end, whatever happens.

    In all processes but the first it shows and writes nothing.

    Args:
      workdir: the run's folder.
      config: its settings.
      dataset: its data.
      first_step: steps that were taken before; what was written of later ones is dropped.
      forget_last: drop the evaluation of that step too, since it will be made again.
    """
    splits = ("train", "test", "validation") if dataset.validation else ("train", "test")
    for split in splits if distributed.is_first() else ():
        end = first_step if split != "train" and forget_last else first_step + 1
        keep_events(workdir / split, range(end) if first_step else range(0))
    with ExitStack() as stack:
        writers = stack.enter_context(summaries.open_writers(workdir, splits))
        display = stack.enter_context(Display(first_step, config.num_steps))
        if first_step == 0:
            summaries.write_start(writers, to_dict(config), dataset)
        yield Report(writers, display, dataset)
