"""What people see of a run while it goes on: lines, a bar, TensorBoard's pages."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from clu.metric_writers import MetricWriter

from rnnjax.reporting import summaries
from rnnjax.reporting.resumed_events import merge_events
from rnnjax.reporting.terminal import Display
from rnnjax.system import distributed, files
from rnnjax.system.messages import warn


class Report:
    """Shows the figures of a run, which are floats and arrays on the host.

    `open_report` makes one. In all processes but the primary one it shows and writes nothing.
    Whatever cannot be written is an OSError.
    """

    def __init__(self, writers: Mapping[str, MetricWriter], display: Display, dataset: str) -> None:
        self._writers = writers
        self._display = display
        self._dataset = dataset

    def line(self, text: str) -> None:
        """Prints a line above the bar."""
        self._display.line(text)

    def advance(self, steps: int) -> None:
        """Moves the bar by so many steps."""
        self._display.advance(steps)

    def flush(self) -> None:
        """Waits until all summaries are in their files."""
        summaries.flush(self._writers)

    def start(
        self, settings: Mapping[str, object], class_names: Sequence[str], images: np.ndarray
    ) -> None:
        """Shows the settings, and images `[N, 28, 28]`, uint8, of a run that begins at step 0."""
        summaries.write_start(self._writers, settings, self._dataset, class_names, images)

    def training(self, step: int, epoch: float, scalars: Mapping[str, float]) -> None:
        """Shows the averages over the steps since the last call.

        Args:
          step: the steps taken.
          epoch: how often each training image was seen.
          scalars: `loss`, `accuracy`, `steps_per_second` and whatever else there is, by tag.
        """
        if not math.isfinite(scalars["loss"]) and scalars.get("skipped_steps"):
            self.line(f"{'':14}step {step:6d}  every step since the last figures was skipped")
            return
        summaries.write_scalars(self._writers["train"], step, {**scalars, "epoch": epoch})
        self.line(
            f"epoch {epoch:6.2f}  step {step:6d}  training accuracy {scalars['accuracy']:.4f}  "
            f"loss {scalars['loss']:.4f}  {scalars['steps_per_second']:.1f} steps/s"
        )

    def evaluation(self, step: int, split: str, *, loss: float, accuracy: float) -> None:
        """Shows the loss and the accuracy on a whole split."""
        scalars = {"loss": loss, "accuracy": accuracy}
        summaries.write_scalars(self._writers[split], step, scalars)
        self.line(
            f"{'':14}step {step:6d}  {split} accuracy {accuracy:.4f}  loss {loss:.4f}  "
            f"({self._dataset})"
        )

    def histograms(
        self, step: int, split: str, readout: Mapping[str, np.ndarray], last_hidden: np.ndarray
    ) -> None:
        """Shows the distributions of the readout's parameters and of the last hidden states.

        Args:
          step: the steps taken.
          split: of the images.
          readout: `kernel`, `[H, K]`, and `bias`, `[K]`.
          last_hidden: `[B, H]`.
        """
        summaries.write_histograms(
            self._writers[split],
            step,
            readout_weight=readout["kernel"],
            readout_bias=readout["bias"],
            last_hidden=last_hidden,
        )


@contextmanager
def open_report(
    workdir: Path,
    dataset: str,
    splits: Sequence[str],
    *,
    first_step: int,
    num_steps: int,
    evaluates_first: bool,
) -> Iterator[Report]:
    """Yields a report whose writers are flushed and closed in the end, whatever happens.

    Args:
      workdir: the run's folder.
      dataset: the name of its data set.
      splits: those that there are figures of, `train` among them.
      first_step: steps that were taken before; what was written of later ones is dropped.
      num_steps: steps of the whole run.
      evaluates_first: whether the evaluation after `first_step` is made again, so that what was
        written of it is dropped too.

    Raises:
      OSError: if something cannot be written.
    """
    for split in splits if distributed.is_primary() else ():
        files.make_folder(workdir / split)
        end = first_step if split != "train" and evaluates_first else first_step + 1
        if not merge_events(workdir / split, range(end) if first_step else range(0)) and first_step:
            warn(f"{workdir / split} has no summaries of the {first_step} steps before")
    with ExitStack() as stack:
        writers = stack.enter_context(summaries.open_writers(workdir, splits))
        display = stack.enter_context(Display(first_step, num_steps))
        yield Report(writers, display, dataset)
