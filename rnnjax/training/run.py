"""A run under way: its parts, and what it does at each step.

An evaluation comes before the checkpoint of its step, which holds the validation accuracy. A run
that goes on from a step whose evaluation is due makes that evaluation again and saves the step
again: so nothing has to say whether it was interrupted, or whether all of it was reported.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float

from rnnjax.config import Config
from rnnjax.reporting.report import Report
from rnnjax.reporting.terminal import Stopwatch
from rnnjax.runs import result
from rnnjax.runs.checkpoint import Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.runs.result import Result
from rnnjax.system import devices, distributed
from rnnjax.system.signals import StoppedError, StopRequest
from rnnjax.training import metrics
from rnnjax.training.due import due
from rnnjax.training.evaluation import Evaluation, evaluate
from rnnjax.training.feed import Feed
from rnnjax.training.insight import Insight
from rnnjax.training.on_nan import check_finite, check_skipped
from rnnjax.training.profiling import Profiler
from rnnjax.training.state import TrainState
from rnnjax.training.task import Programs, Task


@dataclasses.dataclass
class Run:
    """A run under way; `start.open_run` makes one.

    States that it is given, and hidden states, are replicated: leaves `[D, ...]` over the local
    devices.
    """

    config: Config
    task: Task
    workdir: Path
    feed: Feed
    programs: Programs
    checkpoints: Checkpoints
    report: Report
    insight: Insight
    profiler: Profiler
    stop: StopRequest
    check_held: Callable[[], None] | None  # that the workdir is; only in the primary process
    first_step: int  # steps taken before
    first_state: TrainState  # after these steps; the first `train_steps` overwrites it
    started: float  # when, on the monotonic clock
    seconds_before: float  # spent in earlier processes
    best_accuracy: float  # of all checkpoints, on held-out images
    evaluations: dict[str, Evaluation] = dataclasses.field(default_factory=dict)  # of this step

    def __post_init__(self) -> None:
        self._stopwatch = Stopwatch(self.first_step)

    @property
    def evaluates_first(self) -> bool:
        """Whether the evaluation after the first step is made again."""
        return due(self.first_step, self.config).evaluate

    @property
    def validation_accuracy(self) -> float | None:
        """After this step; None if it was not evaluated, or nothing is held out."""
        evaluation = self.evaluations.get("validation")
        return None if evaluation is None else evaluation.accuracy

    @property
    def improved(self) -> bool:
        """Whether this step's validation accuracy is better than that of all checkpoints."""
        return (self.validation_accuracy or 0) > self.best_accuracy

    @property
    def seconds(self) -> float:
        """Spent in all processes of this run so far."""
        return self.seconds_before + time.monotonic() - self.started

    def train_steps(
        self, step: int, state: TrainState
    ) -> tuple[int, TrainState, Float[Array, "D B H"]]:
        """Takes the steps of one dispatch.

        Returns:
          The steps taken so far, the new state, and the last step's last hidden states.

        Raises:
          RunError: if a save has failed meanwhile.
        """
        batch, split = next(self.feed.batches), self.feed.split
        is_first = step == self.first_step
        dispatched = range(step + 1, step + self.config.steps_per_dispatch + 1)
        if self.profiler.begins(dispatched):
            jax.block_until_ready(state.step)  # steps under way are training time
            with self._stopwatch.paused():
                self.profiler.begin(dispatched[0])
        waiting = self.report.waiting("compiling") if is_first else contextlib.nullcontext()
        with waiting, jax.profiler.StepTraceAnnotation("train", step_num=dispatched[0]):
            state, last_hidden = self.programs.train_steps(
                state, batch, self.programs.dropout_key, split
            )
            if is_first:
                jax.block_until_ready(state.step)
        step = dispatched[-1]
        if self.profiler.ends(step):
            jax.block_until_ready(state.step)
            with self._stopwatch.paused():
                self.report.line(self.profiler.end(step))
        self.evaluations = {}
        self.report.advance(self.config.steps_per_dispatch)
        self.checkpoints.check()
        if is_first:
            seconds = time.monotonic() - self.started
            self.report.line(f"step {step} was done {seconds:.1f} s after the start")
            if step == self.config.steps_per_dispatch:
                self.insight.show_graph(self.report)
            # Compiling is no part of the speed, unless the first figures would have no other step.
            if not due(step, self.config).log:
                self._stopwatch.restart(step)
        return step, state, last_hidden

    def log(self, step: int, state: TrainState) -> TrainState:
        """Reports the averages over the steps since the last call, and begins new ones.

        Raises:
          NonFiniteError: if one of them is not finite, or too many steps were skipped.
        """
        config = self.config
        figures = metrics.compute(devices.unreplicate(state.metrics))
        figures["learning_rate"] = float(np.asarray(self.task.schedule(step - 1)))
        figures["steps_per_second"] = self._stopwatch.steps_per_second(step)
        if config.on_nan == "skip":
            figures["skipped_steps"] = self._check_skipped(step, state)
        self.report.training(step, step * config.batch_size / self.feed.num_images, figures)
        if config.on_nan == "halt":
            check_finite(figures, step)
        return dataclasses.replace(state, metrics=devices.replicate(metrics.TrainMetrics.empty()))

    def evaluate(
        self, step: int, state: TrainState, last_hidden: Float[Array, "D B H"] | None = None
    ) -> bool:
        """Evaluates and reports all splits but the training one.

        Args:
          step: the steps taken.
          state: after them.
          last_hidden: of the last training batch, if its histograms are wanted.

        Returns:
          Whether it was done; False, and nothing is reported of it, if the run is to stop.

        Raises:
          NonFiniteError: if a loss is not finite.
        """
        jax.block_until_ready(state.step)  # steps under way are training time
        with self._stopwatch.paused(), self.report.waiting("evaluating"):
            params = devices.first_copy(state.eval_params)
            if last_hidden is not None:  # else what is shown of the training is there already
                self.report.last_hidden(step, "train", np.concatenate(jax.device_get(last_hidden)))
                self.insight.show_parameters(self.report, step, params)
                self.insight.show_inside(self.report, step, params)
            evaluations = {}
            for name, batches in self.feed.evaluation.items():
                labels = self.feed.evaluated[name].labels
                evaluation = evaluate(
                    self.programs.eval_step, state.eval_params, batches, labels, self.stop.poll
                )
                if evaluation is None:
                    return False
                evaluations[name] = evaluation
            for name, (loss, accuracy, predictions, hidden) in evaluations.items():
                self.report.evaluation(step, name, loss=loss, accuracy=accuracy)
                if self.config.on_nan == "halt" or step == self.config.num_steps:
                    check_finite({f"{name} loss": loss}, step)
                self.report.last_hidden(step, name, hidden)
                self.insight.show_classes(self.report, step, name, predictions)
            self.insight.show_beliefs(self.report, step, params)
            self.evaluations = evaluations
        return True

    def save(self, step: int, state: TrainState) -> None:
        """Starts to write a checkpoint, once all summaries up to it are in their files.

        Raises:
          NonFiniteError: if anything in it is not finite, or too many steps were skipped.
          RunError: if the save before this one failed, or the workdir is no longer this run's.
        """
        if self.check_held is not None:
            self.check_held()
        jax.block_until_ready(state.step)  # steps under way are training time
        self._check_skipped(step, state)
        with self._stopwatch.paused():
            self.report.flush()
            progress = Progress(self.seconds, self.validation_accuracy)
            self.checkpoints.save(step, devices.unreplicate(state), progress)
        self.best_accuracy = max(self.best_accuracy, self.validation_accuracy or 0)

    def finish(self, step: int) -> Result:
        """Waits until all is on the disk, and writes the result.

        Raises:
          StoppedError: if the run is to stop.
          RunError: if the last save failed.
        """
        distributed.broadcast_from_primary(self.checkpoints.wait)
        if self.stop.signal is not None:
            raise StoppedError(
                self.stop.signal,
                f"{self.stop.signal.name}: stopped after step {step}; all is saved, the same "
                "command goes on from there",
            )
        outcome = Result(
            test_accuracy=self.evaluations["test"].accuracy,
            test_loss=self.evaluations["test"].loss,
            steps=self.config.num_steps,
            seconds=self.seconds,
            dataset=self.config.data.name,
            seed=self.config.seed,
            validation_accuracy=self.validation_accuracy,
        )
        self._report_end(step, outcome)
        distributed.broadcast_from_primary(
            lambda: result.write(self.workdir, outcome, self.checkpoints.run)
        )
        return outcome

    def _report_end(self, step: int, outcome: Result) -> None:
        figures = {
            f"{split}_{name}": figure
            for split, evaluation in self.evaluations.items()
            for name, figure in (("accuracy", evaluation.accuracy), ("loss", evaluation.loss))
        }
        figures |= {"num_parameters": self.insight.num_parameters, "seconds": outcome.seconds}
        self.report.end(step, figures)
        self.report.flush()  # a run with a result does nothing more, so its summaries come first

    def _check_skipped(self, step: int, state: TrainState) -> int:
        skipped = int(devices.unreplicate(state.skipped))
        check_skipped(skipped, self.config.max_skipped_steps, step)
        return skipped
