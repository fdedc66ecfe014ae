"""What all faults need: a place, runs that nothing happens to, cases side by side, rows."""

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.outcome import Outcome, outcome
from tests.faults.process import Process

SAVED = 40  # a multiple of all intervals: newest step of `Bench.unfinished`


class UnavailableError(Exception):
    """This machine does not let a fault be made."""


@dataclass
class Seen:
    """What came of a fault."""

    times: int = 0
    held: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        held = [f"{text} ({n}x)" if n > 1 else text for text, n in self.held.items()]
        return "; ".join([*self.failures, *held, *self.unavailable])


# Returns what was seen; raises an AssertionError if that is not what should be.
Case = Callable[[], str]


class Bench:
    """A folder for runs, and how many faults of each kind to make.

    Args:
      folder: an empty one.
      short: only some of each kind.
      jobs: runs at a time.
      seed: of the random moments.
      moments: how many, of fault 1.
      data_dir: TFDS's folder with the real Fashion-MNIST; None: prepared here when needed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        short: bool,
        jobs: int,
        seed: str,
        moments: int,
        data_dir: Path | None = None,
    ) -> None:
        self.folder = folder
        self.short = short
        self.jobs = jobs
        self.random = random.Random(seed)
        self.moments = moments
        self.data_dir = data_dir
        self._lock = threading.RLock()
        self._count = 0
        self._outcomes: dict[tuple[str, ...], Outcome] = {}
        self.seconds = 0.0  # that the first run took that nothing happened to

    def workdir(self) -> Path:
        """Returns the path of a new one, which does not exist."""
        with self._lock:
            self._count += 1
            (self.folder / f"{self._count}").mkdir()
            return self.folder / f"{self._count}" / "run"

    @property
    def reference(self) -> Path:
        """The workdir of a run that nothing happens to."""
        with self._lock:
            workdir = self.folder / "reference"
            if not workdir.exists():
                run = Process(workdir, environment={"RECORD_SAMPLES": f"{workdir}.samples"})
                run.must_succeed()
                self.seconds = time.monotonic() - run.started
            return workdir

    def expected(self, *settings: str) -> Outcome:
        """Returns what a run with these settings leaves if nothing happens to it."""
        with self._lock:
            if settings not in self._outcomes:
                workdir = self.workdir() if settings else self.reference
                if settings:
                    Process(workdir, *settings).must_succeed()
                self._outcomes[settings] = outcome(workdir)
            return self._outcomes[settings]

    def unfinished(self, *settings: str) -> Path:
        """Returns a new copy of a workdir with a few steps to go; the newest saved is `SAVED`."""
        with self._lock:
            original = self.folder / " ".join(["unfinished", *settings])
            if not original.exists():
                Process(original, f"--config.num_steps={SAVED}", *settings).must_succeed()
        return Path(shutil.copytree(original, self.workdir()))

    def prepared(self) -> Path:
        """Returns TFDS's folder with the real Fashion-MNIST."""
        with self._lock:
            if self.data_dir is None:
                data_dir = self.folder / "tensorflow_datasets"
                settings = ("--config.data.name=fashion_mnist", "--config.num_steps=1")
                settings += (f"--config.data.data_dir={data_dir}", "--config.eval_batch_size=1000")
                Process(self.workdir(), *settings).must_succeed()
                self.data_dir = data_dir
            return self.data_dir

    def each(self, cases: Mapping[str, Case]) -> Seen:
        """Runs cases, `jobs` at a time."""
        seen = Seen()

        def run(item: tuple[str, Case]) -> None:
            name, case = item
            try:
                text = case()
            except AssertionError as error:
                seen.failures.append(f"{name}: NOT HELD: {error}")
            except ValueError as error:  # of the case itself, as of two lines where there is one
                seen.failures.append(f"{name}: NOT HELD: {error!r}")
            except UnavailableError as error:
                seen.unavailable.append(f"{name}: not run here: {error}")
                return
            else:
                seen.held[text] += 1
            seen.times += 1

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(run, cases.items()))
        return seen

    def selected(self, cases: dict[str, Case], *names: str) -> dict[str, Case]:
        """Returns the cases, of which a short bench has only these."""
        return {name: cases[name] for name in names} if self.short else cases
