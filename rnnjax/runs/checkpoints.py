"""The checkpoints of a run: written while training goes on, whole or not at all.

A step is written into `STEP.tmp` and renamed to `STEP`: what a run itself leaves under a plain
number is whole. A damaged one, or another run's, is moved aside to `STEP.damaged`, never deleted.
"""

import os
import stat
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
from jaxtyping import PyTree

from rnnjax.errors import RunError
from rnnjax.runs.checkpoint import (
    DamagedCheckpointError,
    Metadata,
    Origin,
    Progress,
    Restored,
    State,
    read,
    read_metadata,
    write,
)
from rnnjax.runs.steps import is_step, steps_in
from rnnjax.system import distributed, files
from rnnjax.system.messages import warn


class Checkpoints:
    """The checkpoints of a run: the newest, and the one of the best validation accuracy.

    Its methods are for the primary process of the run, the one that holds its workdir; `save` is
    called in all.

    Args:
      folder: where they are.
      num_newest: how many of the newest stay.
    """

    def __init__(self, folder: Path, num_newest: int) -> None:
        self._folder = folder
        self._num_newest = num_newest
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def prepare(self, origin: Origin) -> None:
        """Makes the folder, and removes what a killed process left unfinished in it.

        Args:
          origin: what the checkpoints of this run say of it; others are not its own.
        """
        self._origin, folder = origin, self._folder
        files.make_folder(folder)
        for draft in folder.glob("*.tmp"):  # of a process that was killed
            files.remove(draft)
        for path in folder.glob("[0-9]*"):  # what somebody else made
            if is_step(path.name):
                self._check_folder(path)
        for old in folder.glob("*.old"):  # of one that was killed while it replaced a step
            if os.path.lexists(old.with_suffix("")):
                files.remove(old)
            else:
                old.rename(old.with_suffix(""))

    @property
    def run(self) -> str:
        """The identity of the run that they are of, once they are prepared."""
        return self._origin.run

    def try_writing(self, state: PyTree) -> None:
        """Writes a state as a checkpoint would be, and removes it again.

        Raises:
          RunError: if that fails.
        """
        write(self._folder / "trial.tmp", 0, jax.device_get(state), Progress(), self._origin)
        files.remove(self._folder / "trial.tmp")

    def restore(self, template: State) -> Restored[State] | None:
        """Returns the newest intact checkpoint; None if there never was one.

        Raises:
          RunError: if there is none but damaged ones, or it is of another state.
        """
        damaged = [path.name for path in self._folder.glob("*.damaged*")]
        for step in reversed(steps_in(self._folder)):
            path = self._folder / str(step)
            try:
                self._read_metadata(path)
                return read(path, template)
            except DamagedCheckpointError as error:
                damaged.append(_move_aside(path, error))
        if damaged:
            raise RunError(
                f"no checkpoint in {self._folder} is intact ({', '.join(sorted(damaged))}); bring "
                "one back from a backup, or name another --workdir to start anew"
            )
        return None

    def best_accuracy(self) -> float:
        """Returns the best validation accuracy of all checkpoints; 0 without any."""
        return max(self._accuracies().values(), default=0.0)

    def save(self, step: int, state: PyTree, progress: Progress) -> None:
        """Starts to write a tree of arrays; the next save waits for this one.

        Args:
          step: the steps taken; a checkpoint of the same step is replaced.
          state: a tree of arrays, each on one device.
          progress: what else is to be known of the run.

        Raises:
          RunError: if the last save failed.
        """
        host: PyTree = jax.device_get(state)
        if not distributed.is_primary():
            return
        self.wait()
        self._pending = self._writer.submit(self._write, step, host, progress)

    def check(self) -> None:
        """Raises a RunError if a save has failed meanwhile."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Waits until all is on the disk; raises a RunError if it could not be written."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits for the last save; raises a RunError if it failed."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def _write(self, step: int, state: PyTree, progress: Progress) -> None:
        files.check_kind(self._folder, stat.S_IFDIR)
        target = self._folder / str(step)
        draft = target.with_suffix(".tmp")
        write(draft, step, state, progress, self._origin)
        old = target.with_suffix(".old")
        files.remove(old)
        self._check_folder(target)
        if target.exists():  # it is saved again, with its validation accuracy
            target.rename(old)
        draft.rename(target)
        files.synchronise(self._folder)  # before an older one is removed
        files.remove(old)
        self._prune()

    def _prune(self) -> None:
        accuracies = self._accuracies()
        best = max(accuracies, key=accuracies.__getitem__, default=None)
        for step in [*accuracies][: -self._num_newest]:
            if step != best or accuracies[step] == 0:
                # Under another name first: a folder that is half gone must not look like damage.
                files.remove(draft := self._folder / f"{step}.tmp")
                files.remove((self._folder / str(step)).rename(draft))

    def _accuracies(self) -> dict[int, float]:
        """Returns {step: validation accuracy, 0 without an evaluation}, the oldest first.

        A checkpoint whose metadata are not whole, or another run's, is moved aside: it must neither
        be the best nor count as one of the newest.
        """
        accuracies = {}
        for step in steps_in(self._folder):
            path = self._folder / str(step)
            try:
                accuracies[step] = self._read_metadata(path).progress.validation_accuracy or 0.0
            except DamagedCheckpointError as error:
                _move_aside(path, error)
        return accuracies

    def _read_metadata(self, path: Path) -> Metadata:
        metadata = read_metadata(path)
        if metadata.origin.run != self._origin.run:
            raise DamagedCheckpointError(f"the checkpoint {path} is of another run")
        return metadata

    def _check_folder(self, path: Path) -> None:
        """Moves aside what has the name of a step but is no folder."""
        try:
            files.check_kind(path, stat.S_IFDIR)
        except files.UntrustedFileError as error:
            _move_aside(path, error)


def _move_aside(path: Path, reason: Exception) -> str:
    name = files.move_aside(path)
    warn(f"{reason}; moved to {name}")
    return name
