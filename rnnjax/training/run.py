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
from rnnjax.reporting.terminal import Stopwatch
from rnnjax.runs import result
from rnnjax.runs.checkpoint import Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.runs.result import Result
from rnnjax.system import distributed
from rnnjax.system.devices import Devices, first_copy, unreplicate
from rnnjax.system.signals import StoppedError, StopRequest
from rnnjax.training import metrics
from rnnjax.training.due import due
from rnnjax.training.evaluation import all_rows, evaluate
from rnnjax.training.feed import Feed
from rnnjax.training.on_nan import check_finite, check_skipped, check_state
from rnnjax.training.outcome import Evaluations, mean_accuracy, result_of
from rnnjax.training.over_seeds import stack
from rnnjax.training.profiling import Profiler
from rnnjax.training.seed_reports import SeedReports
from rnnjax.training.seeds import Seeds
from rnnjax.training.state import TrainState
from rnnjax.training.task import Programs, Task


@dataclasses.dataclass
class Run:
    """A run under way; `start.open_run` makes one.

    States and hidden states are replicated: leaves `[D, ...]` over the local devices.
    """

    config: Config
    task: Task
    workdir: Path
    devices: Devices
    feed: Feed
    programs: Programs
    checkpoints: Checkpoints
    reports: SeedReports
    profiler: Profiler
    stop: StopRequest
    check_held: Callable[[], None] | None  # that the workdir is; only in the primary process
    first_step: int  # steps taken before
    first_state: TrainState  # after these steps; the first `train_steps` overwrites it
    started: float  # when, on the monotonic clock
    seconds_before: float  # spent in earlier processes
    best_accuracy: float  # of all checkpoints, on held-out images
    seeds: Seeds
    evaluations: Evaluations = dataclasses.field(default_factory=dict)  # of this step

    def __post_init__(self) -> None:
        self._stopwatch = Stopwatch(self.first_step)

    @property
    def evaluates_first(self) -> bool:
        """Whether the evaluation after the first step is made again."""
        return due(self.first_step, self.config).evaluate

    @property
    def validation_accuracy(self) -> float | None:
        """After this step, the mean of the seeds; None without an evaluation of held-out images."""
        return mean_accuracy(self.evaluations, "validation")

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
    ) -> tuple[int, TrainState, Float[Array, "D *N B H"]]:
        """Takes the steps of one dispatch.

        Returns:
          The steps taken so far, the new state, and the last step's last hidden states.

        Raises:
          RunError: if a save has failed meanwhile.
        """
        batch, split = next(self.feed.batches), self.feed.split
        is_first, display = step == self.first_step, self.reports.display
        dispatched = range(step + 1, step + self.config.steps_per_dispatch + 1)
        if self.profiler.begins(dispatched):
            jax.block_until_ready(state.step)  # steps under way are training time
            with self._stopwatch.paused():
                self.profiler.begin(dispatched[0])
        waiting = display.waiting("compiling") if is_first else contextlib.nullcontext()
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
                display.line(self.profiler.end(step))
        self.evaluations = {}
        display.advance(self.config.steps_per_dispatch)
        self.checkpoints.check()
        if is_first:
            seconds = time.monotonic() - self.started
            display.line(f"step {step} was done {seconds:.1f} s after the start")
            if step == self.config.steps_per_dispatch:
                self.reports.show_graph()
            # Compiling is no part of the speed, unless the first figures would have no other step.
            if not due(step, self.config).log:
                self._stopwatch.restart(step)
        return step, state, last_hidden

    def log(self, step: int, state: TrainState) -> TrainState:
        """Reports the averages over the steps since the last call, and begins new ones.

        Raises:
          NonFiniteError: if one of them is not finite, or too many steps were skipped; of several
            seeds, if that is so of the last one that went on.
        """
        config = self.config
        sums, skipped = jax.device_get(unreplicate((state.metrics, state.skipped)))
        of_all = {
            "learning_rate": float(np.asarray(self.task.schedule(step - 1))),
            "steps_per_second": self._stopwatch.steps_per_second(step),
        }
        by_seed = {}
        for seed, (of_seed, num_skipped) in self.seeds.each((sums, skipped)):
            by_seed[seed] = metrics.compute(of_seed) | of_all
            if config.on_nan == "skip":
                by_seed[seed]["skipped_steps"] = int(num_skipped)
        epoch = step * config.batch_size / self.feed.num_images
        self.reports.show_training(step, epoch, by_seed)
        for seed, figures in by_seed.items():
            with self.seeds.may_fail(seed):
                if config.on_nan == "skip":
                    check_skipped(by_seed[seed]["skipped_steps"], config.max_skipped_steps, step)
                else:
                    check_finite(figures, step)
        empty = stack([metrics.TrainMetrics.empty()] * config.seeds)
        return dataclasses.replace(state, metrics=self.devices.replicate(empty))

    def evaluate(
        self, step: int, state: TrainState, last_hidden: Float[Array, "D *N B H"] | None = None
    ) -> bool:
        """Evaluates and reports all splits but the training one.

        Args:
          step: the steps taken.
          state: after them.
          last_hidden: of the last training batch, if its histograms are wanted.

        Returns:
          Whether it was done; False, and nothing is reported of it, if the run is to stop.

        Raises:
          NonFiniteError: if a loss is not finite; of several seeds, if that is so of the last one
            that went on.
        """
        jax.block_until_ready(state.step)  # steps under way are training time
        with self._stopwatch.paused(), self.reports.display.waiting("evaluating"):
            params = first_copy(state.eval_params)
            if last_hidden is not None:  # else what is shown of the training is there already
                self.reports.show_step(step, params, all_rows(last_hidden))
            evaluations = {}
            for split, batches in self.feed.evaluation.items():
                evaluation = evaluate(
                    self.devices,
                    self.programs.eval_step,
                    state.eval_params,
                    batches,
                    self.feed.evaluated[split].labels,
                    self.config.seeds,
                    self.stop.poll,
                )
                if evaluation is None:
                    return False
                evaluations[split] = self.seeds.of_those_that_go_on(evaluation)
            self.reports.show_evaluations(step, evaluations)
            if self.config.on_nan == "halt" or step == self.config.num_steps:
                for split, by_seed in evaluations.items():
                    for seed, of_seed in by_seed.items():
                        with self.seeds.may_fail(seed):
                            check_finite({f"{split} loss": of_seed.loss}, step)
            without_failed = self.seeds.without_failed
            self.evaluations = {split: without_failed(of) for split, of in evaluations.items()}
            self.reports.show_predictions(step, self.evaluations, params)
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
        with self._stopwatch.paused():
            host = jax.device_get(unreplicate(state))
            for seed, of_seed in self.seeds.each(host):
                with self.seeds.may_fail(seed):
                    check_skipped(int(of_seed.skipped), self.config.max_skipped_steps, step)
                    check_state(of_seed, step)
            self.reports.flush()
            progress = Progress(self.seconds, self.validation_accuracy, self.seeds.failed)
            self.checkpoints.save(step, host, progress)
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
        outcome = result_of(self.config, self.evaluations, self.seeds.failed, self.seconds)
        self.reports.show_end(step, self.evaluations, outcome.seconds)
        self.reports.flush()  # a run with a result does nothing more, so its summaries come first
        distributed.broadcast_from_primary(
            lambda: result.write(self.workdir, outcome, self.checkpoints.run)
        )
        return outcome
