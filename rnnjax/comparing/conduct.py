"""Runs what a comparison needs, as many processes at a time as it may, and shows how far it is."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.outcome import Failure, Outcome
from rnnjax.comparing.plan import Job
from rnnjax.comparing.processes import Process, Share
from rnnjax.comparing.requests import train_request
from rnnjax.comparing.sizes import num_parameters
from rnnjax.errors import ConfigError
from rnnjax.reporting.lines import mean_and_deviation
from rnnjax.reporting.terminal import Display
from rnnjax.seeds import seeds_of
from rnnjax.system.signals import StoppedError, StopRequest

POLL_SECONDS = 0.2


class Conductor:
    """Runs what is due until nothing is.

    Args:
      ledger: of the comparison.
      shares: what each of the processes at a time may use.
      ended: called after each run.
    """

    def __init__(self, ledger: Ledger, shares: Sequence[Share], ended: Callable[[], None]) -> None:
        self._ledger, self._free, self._ended = ledger, [*shares], ended
        self._running: dict[str, tuple[Job, Process]] = {}
        variants = ledger.comparison.variants
        self._total = sum(map(ledger.num_steps, variants))
        self._finished = self._shown = 0  # steps, of runs that have ended and in the bar

    def run(self) -> None:
        """Runs all that is due; of a run that fails the ledger has the reason.

        Raises:
          StoppedError: after SIGTERM or SIGINT, when the runs under way have saved and ended.
          ConfigError: if the file of an own cell has changed.
        """
        with (
            StopRequest(agree=lambda number: number) as stop,
            Display(0, self._total) as display,
            self._stopped_in_the_end(),
        ):
            self._start_due()
            self._refresh(display)
            while self._running and not stop.poll():
                time.sleep(POLL_SECONDS)
                if ended := [path for path, (_, of) in self._running.items() if of.has_ended]:
                    for path in ended:
                        display.line(self._end(path))
                    self._ended()
                    self._start_due()
                    self._refresh(display)
                self._advance(display)
        if stop.signal is not None:
            raise StoppedError(
                stop.signal,
                f"{stop.signal.name}: the runs under way have saved; the same command goes on",
            )

    def _start_due(self) -> None:
        if not self._free:
            return
        for job in self._ledger.due():
            if self._free and job.path not in self._running:
                workdir = self._ledger.begin(job)
                record = workdir.with_name(f"{workdir.name}.json")
                request = train_request(job, workdir, record)
                log = workdir.with_name(f"{workdir.name}.log")
                self._running[job.path] = job, Process(request, log, self._free.pop(0))

    def _end(self, path: str) -> str:
        """Notes what a run has come to; returns a line about it."""
        job, process = self._running.pop(path)
        self._free.append(process.share)
        failure = process.wait()
        found = self._ledger.outcome(job)  # which may be there, whatever became of the process
        if found is None:
            reason = failure or "it has left no outcome"
            seeds = list(seeds_of(job.config))
            self._ledger.fail(path, Failure(_num_parameters(job), seeds, reason))
            found = self._ledger.outcomes[path]
        return _line(job, found)

    def _refresh(self, display: Display) -> None:
        left = sum(map(self._ledger.num_steps_left, self._ledger.comparison.variants))
        self._finished = self._total - left
        under_way = ", ".join(job.title for job, _ in self._running.values())
        display.note("; ".join(filter(None, (under_way, self._ledger.best()))))

    def _advance(self, display: Display) -> None:
        running = sum(of.steps * job.config.seeds for job, of in self._running.values())
        display.advance(self._finished + running - self._shown)
        self._shown = self._finished + running

    @contextlib.contextmanager
    def _stopped_in_the_end(self) -> Iterator[None]:
        """Lets no process go on without this one, whatever happens."""
        try:
            yield
        finally:
            for _, process in self._running.values():
                process.stop()
            for _, process in self._running.values():
                process.wait()


def _num_parameters(job: Job) -> int:
    """Returns how many the model of a run has; 0 if there is no such model, as of some trials."""
    try:
        return num_parameters(job.config)
    except ConfigError:
        return 0


def _line(job: Job, found: Outcome) -> str:
    figures = [of_seed.figures for of_seed in found.seeds.values()]
    accuracies = [of.validation_accuracy for of in figures if of.validation_accuracy is not None]
    failures = [of.failure for of in figures if of.failure]
    if not accuracies:
        return f"{job.title}  failed: {failures[0]}"
    failed = f"  {len(failures)} failed: {failures[0]}" if failures else ""
    return (
        f"{job.title}  validation accuracy {mean_and_deviation(accuracies)}  "
        f"{found.seconds:.0f} s{failed}"
    )
