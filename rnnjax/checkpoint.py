"""Checkpoints: written by Orbax while training goes on, whole or not at all, checked when read.

A step is written into `STEP.tmp`, sealed (`manifest.py`) and renamed to `STEP`: what has a plain
number for a name was whole once. A damaged one is moved aside to `STEP.damaged`, never deleted.
"""

import json
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from rnnjax import manifest
from rnnjax.errors import NonFiniteError, RunError
from rnnjax.metrics import WAYS_ON
from rnnjax.train_state import TrainState

RUN_FILE = "run.json"


class Progress(NamedTuple):
    """What a checkpoint says of the run beside its state."""

    seconds: float = 0.0  # spent in the processes that took these steps
    evaluated: bool = True  # whether an evaluation that was due at this step has been reported
    validation_accuracy: float | None = None  # at this step, if it was evaluated on held-out images


class Restored(NamedTuple):
    state: TrainState  # on the host
    progress: Progress


class DamagedError(RunError):
    """A checkpoint is not as it was written."""


def steps_in(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, the oldest first."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def read(path: Path, like: TrainState) -> Restored:
    """Returns a checkpoint, after every byte of it has been checked. Nothing in it is executed.

    Args:
      path: its folder.
      like: a state of the same shapes.

    Raises:
      DamagedError: if it is not as it was written.
      RunError: if it is of another state, naming all arrays that differ.
    """
    if reason := manifest.damage(path):
        raise DamagedError(f"the checkpoint {path} is damaged: {reason}")
    try:
        run = json.loads((path / RUN_FILE).read_text())
        if differences := differing(run["arrays"], arrays_of(like)):
            raise RunError(f"the checkpoint {path} is of another state: {'; '.join(differences)}")
        state = _checkpointer().restore(
            path.absolute() / "state", args=ocp.args.StandardRestore(jax.device_get(like))
        )
        return Restored(state, Progress(**run["progress"]))
    except RunError:
        raise
    except Exception as error:  # somebody sealed what is no checkpoint; Orbax raises all there is
        raise DamagedError(
            f"the checkpoint {path} is damaged: it cannot be read ({type(error).__name__})"
        ) from error


def stored_arrays(folder: Path) -> dict[str, str] | None:
    """Returns `arrays_of` the newest checkpoint in a folder, unchecked; None if there is none."""
    try:
        return json.loads((folder / str(steps_in(folder)[-1]) / RUN_FILE).read_text())["arrays"]
    except (OSError, ValueError, LookupError):
        return None


def arrays_of(state: Any) -> dict[str, str]:
    """Returns {path: dtype and shape} of all arrays of a state."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{[*leaf.shape]}"
        for path, leaf in leaves
    }


def differing(stored: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Returns a line for each array that two states do not have alike."""
    names = [*stored, *(name for name in wanted if name not in stored)]
    return [
        f"{name} was {stored.get(name, 'absent')} and is now {wanted.get(name, 'absent')}"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]


class Checkpoints:
    """The checkpoints of a run, for the process that holds its workdir.

    Kept are the newest, and the one of the best validation accuracy.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        folder.mkdir(exist_ok=True)
        for draft in folder.glob("*.tmp"):  # of a process that was killed
            _remove(draft)
        for old in folder.glob("*.old"):  # of one that was killed while it replaced a step
            if old.with_suffix("").exists():
                _remove(old)
            else:
                old.rename(old.with_suffix(""))

    def try_writing(self, state: TrainState) -> None:
        """Writes a state as a checkpoint would be, and removes it again.

        Raises:
          RunError: if that fails.
        """
        self._write_draft(jax.device_get(state), Progress(), self._folder / "trial.tmp")
        shutil.rmtree(self._folder / "trial.tmp")

    def restore(self, like: TrainState) -> Restored | None:
        """Returns the newest intact checkpoint; None if there never was one.

        Raises:
          RunError: if there is none but damaged ones, or it is of another state.
        """
        damaged = [f"{path.name}" for path in self._folder.glob("*.damaged*")]
        for step in reversed(steps_in(self._folder)):
            try:
                return read(self._folder / str(step), like)
            except DamagedError as error:
                damaged.append(self._move_aside(step))
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

    def save(self, state: TrainState, progress: Progress) -> None:
        """Starts to write a state that is on one device; the next save waits for this one.

        Raises:
          NonFiniteError: if a parameter or anything else in it is NaN or infinite; it is not saved.
          RunError: if this or the last save failed.
        """
        host: Any = jax.device_get(state)
        for path, leaf in jax.tree_util.tree_leaves_with_path(host):
            if not np.all(np.isfinite(leaf)):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise NonFiniteError(
                    f"{name} became NaN or infinite at or shortly before step {int(host.step)}, "
                    f"which is not saved; {WAYS_ON}"
                )
        self.wait()
        self._pending = self._writer.submit(self._write, host, progress)

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
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def _write(self, state: TrainState, progress: Progress) -> None:
        target = self._folder / str(int(state.step))
        draft = target.with_suffix(".tmp")
        self._write_draft(state, progress, draft)
        old = target.with_suffix(".old")
        if target.exists():  # saved again, with more known of it
            target.rename(old)
        draft.rename(target)
        if old.exists():
            shutil.rmtree(old)
        self._prune()

    def _write_draft(self, state: TrainState, progress: Progress, draft: Path) -> None:
        try:
            _checkpointer().save(
                draft.absolute() / "state", args=ocp.args.StandardSave(state), force=True
            )
            run = {"arrays": arrays_of(state), "progress": progress._asdict()}
            (draft / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n")
            manifest.seal(draft)
        except Exception as error:  # Orbax raises what its storage libraries raise
            shutil.rmtree(draft, ignore_errors=True)  # the disk may be full
            reason = str(error).split("[tensorstore_spec")[0].strip().split("\n")[0]
            raise RunError(
                f"a checkpoint could not be written to {self._folder}: {reason} -- older ones are "
                "intact; once there is room and permission, the same command goes on from them"
            ) from error

    def _prune(self) -> None:
        steps = steps_in(self._folder)
        best = max(steps, key=self._accuracy)
        for step in steps[: -self._keep]:
            if step != best or self._accuracy(best) == 0:
                # Under another name first: a folder that is half gone must not look like damage.
                draft = (self._folder / str(step)).rename(self._folder / f"{step}.tmp")
                shutil.rmtree(draft)

    def _accuracy(self, step: int) -> float:
        """Returns 0 without an evaluation, and for a step that is damaged."""
        try:
            run = json.loads((self._folder / str(step) / RUN_FILE).read_text())
            return float(run["progress"]["validation_accuracy"] or 0)
        except (OSError, ValueError, LookupError, TypeError):
            return 0.0

    def _move_aside(self, step: int) -> str:
        path, count = self._folder / f"{step}.damaged", 1
        while path.exists() or path.is_symlink():
            count += 1
            path = self._folder / f"{step}.damaged{count}"
        (self._folder / str(step)).rename(path)
        return path.name


def _remove(path: Path) -> None:
    """Removes a folder; of a link or a file, which somebody else made, that alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.StandardCheckpointHandler())
