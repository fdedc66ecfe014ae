"""The checkpoints of a run: written while training goes on, whole or not at all.

A step is written into `STEP.tmp` and renamed to `STEP`: what has a plain number for a name was
whole once. A damaged one is moved aside to `STEP.damaged`, never deleted.
"""

import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from rnnjax.errors import ConfigError, NonFiniteError, RunError
from rnnjax.runs.checkpoint import (
    DamagedCheckpointError,
    Progress,
    Restored,
    State,
    read,
    read_metadata,
    write,
)
from rnnjax.system import distributed
from rnnjax.system.files import synchronise


def steps_in(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, the oldest first."""
    names = (path.name for path in folder.glob("[0-9]*") if path.is_dir() and not path.is_symlink())
    return sorted(int(name) for name in names if _is_step(name))


def stored_arrays(folder: Path) -> dict[str, str] | None:
    """Returns what the newest checkpoint in a folder says of its arrays; None if it cannot."""
    try:
        return read_metadata(folder / str(steps_in(folder)[-1])).arrays
    except (OSError, LookupError, DamagedCheckpointError):
        return None


def find(folder: Path, step: int | None) -> Path:
    """Returns the path of the checkpoint of a step; None: of the newest.

    Raises:
      ConfigError: if there is none, naming those that there are.
    """
    steps = steps_in(folder)
    if not steps or step not in (None, *steps):
        wanted = "" if step is None else f" of step {step}"
        there = ", ".join(map(str, steps)) or "none"
        raise ConfigError(f"{folder} has no checkpoint{wanted}; there are: {there}")
    return folder / str(steps[-1] if step is None else step)


def read_step(folder: Path, step: int | None, template: State) -> Restored[State]:
    """Reads a checkpoint of a run that may be under way, and so remove it meanwhile.

    Args:
      folder: the checkpoints of the run; nothing is written there.
      step: which one; None: the newest.
      template: a tree of arrays of the same structure, shapes and dtypes.

    Raises:
      ConfigError: if there is no such checkpoint.
      RunError: if it is damaged, or of another state.
    """
    while True:
        path = find(folder, step)
        try:
            return read(path, template)
        except (OSError, DamagedCheckpointError) as error:
            if path.is_dir():
                steps = ", ".join(map(str, steps_in(folder)))
                raise RunError(
                    f"{error}; there are the steps {steps}: --step chooses one"
                ) from error


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

    def tidy(self) -> None:
        """Makes the folder, and removes what a killed process left unfinished in it."""
        folder = self._folder
        folder.mkdir(exist_ok=True)
        for draft in folder.glob("*.tmp"):  # of a process that was killed
            _remove(draft)
        for path in folder.glob("[0-9]*"):  # what somebody else made
            if _is_step(path.name) and (path.is_symlink() or not path.is_dir()):
                aside = self._move_aside(path.name)
                print(f"rnnjax: {path} is no folder; moved to {aside}", file=sys.stderr, flush=True)
        for old in folder.glob("*.old"):  # of one that was killed while it replaced a step
            if old.with_suffix("").exists():
                _remove(old)
            else:
                old.rename(old.with_suffix(""))

    def try_writing(self, state: PyTree) -> None:
        """Writes a state as a checkpoint would be, and removes it again.

        Raises:
          RunError: if that fails.
        """
        write(self._folder / "trial.tmp", 0, jax.device_get(state), Progress())
        shutil.rmtree(self._folder / "trial.tmp")

    def restore(self, template: State) -> Restored[State] | None:
        """Returns the newest intact checkpoint; None if there never was one.

        Raises:
          RunError: if there is none but damaged ones, or it is of another state.
        """
        damaged = [path.name for path in self._folder.glob("*.damaged*")]
        for step in reversed(steps_in(self._folder)):
            try:
                return read(self._folder / str(step), template)
            except DamagedCheckpointError as error:
                damaged.append(self._move_aside(str(step)))
                print(f"rnnjax: {error}; moved to {damaged[-1]}", file=sys.stderr, flush=True)
        if damaged:
            raise RunError(
                f"no checkpoint in {self._folder} is intact ({', '.join(sorted(damaged))}); bring "
                "one back from a backup, or name another --workdir to start anew"
            )
        return None

    def best_accuracy(self) -> float:
        """Returns the best validation accuracy of all checkpoints; 0 without any."""
        return max((self._accuracy(step) for step in steps_in(self._folder)), default=0.0)

    def save(self, step: int, state: PyTree, progress: Progress) -> None:
        """Starts to write a tree of arrays; the next save waits for this one.

        Args:
          step: the steps taken; a checkpoint of the same step is replaced.
          state: a tree of arrays, each on one device.
          progress: what else is to be known of the run.

        Raises:
          NonFiniteError: if anything in the state is NaN or infinite; it is not saved.
          RunError: if this or the last save failed.
        """
        host: PyTree = jax.device_get(state)
        for path, leaf in jax.tree_util.tree_leaves_with_path(host):
            if not np.all(np.isfinite(leaf)):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise NonFiniteError(
                    f"{name} became NaN or infinite at or shortly before step {step}, which is not "
                    "saved"
                )
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
        target = self._folder / str(step)
        draft = target.with_suffix(".tmp")
        write(draft, step, state, progress)
        old = target.with_suffix(".old")
        if target.exists():  # it is saved again, with its validation accuracy
            target.rename(old)
        draft.rename(target)
        synchronise(self._folder)  # before an older one is removed
        if old.exists():
            shutil.rmtree(old)
        self._prune()

    def _prune(self) -> None:
        steps = steps_in(self._folder)
        best = max(steps, key=self._accuracy)
        for step in steps[: -self._num_newest]:
            if step != best or self._accuracy(best) == 0:
                # Under another name first: a folder that is half gone must not look like damage.
                draft = (self._folder / str(step)).rename(self._folder / f"{step}.tmp")
                shutil.rmtree(draft)

    def _accuracy(self, step: int) -> float:
        """Returns 0 without an evaluation, and for a step that is damaged."""
        try:
            metadata = read_metadata(self._folder / str(step))
            return float(metadata.progress.validation_accuracy or 0)
        except (OSError, DamagedCheckpointError):
            return 0.0

    def _move_aside(self, name: str) -> str:
        path, count = self._folder / f"{name}.damaged", 1
        while path.exists() or path.is_symlink():
            count += 1
            path = self._folder / f"{name}.damaged{count}"
        (self._folder / name).rename(path)
        return path.name


def _is_step(name: str) -> bool:
    return name.isdecimal() and name == str(int(name))


def _remove(path: Path) -> None:
    """Removes a folder; of a link or a file, which somebody else made, that alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
