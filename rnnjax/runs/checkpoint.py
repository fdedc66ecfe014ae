"""A checkpoint: a folder written by Orbax, sealed, and checked to the last byte when read."""

import json
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from rnnjax.errors import RunError
from rnnjax.runs import manifest
from rnnjax.training.state import TrainState

RUN_FILE = "run.json"


class Progress(NamedTuple):
    """What a checkpoint says of the run beside its state."""

    seconds: float = 0.0  # spent in the processes that took these steps
    evaluated: bool = True  # whether an evaluation that was due at this step has been reported
    validation_accuracy: float | None = None  # at this step, if it was evaluated on held-out images


class Run(NamedTuple):
    """What `RUN_FILE` holds."""

    arrays: dict[str, str]  # `arrays_of` the state
    progress: Progress


class Restored(NamedTuple):
    state: TrainState  # on the host
    progress: Progress


class DamagedCheckpointError(RunError):
    """A checkpoint is not as it was written."""


def write(path: Path, state: TrainState, progress: Progress) -> None:
    """Writes a checkpoint into a folder, seals it and waits until it is on the disk.

    Raises:
      RunError: if that fails; nothing is left of it.
    """
    try:
        _checkpointer().save(
            path.absolute() / "state", args=ocp.args.StandardSave(state), force=True
        )
        run = {"arrays": arrays_of(state), "progress": progress._asdict()}
        (path / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n")
        manifest.seal(path)
    except Exception as error:  # Orbax raises what its storage libraries raise
        shutil.rmtree(path, ignore_errors=True)  # the disk may be full
        reason = str(error).split("[tensorstore_spec")[0].strip().split("\n")[0]
        raise RunError(
            f"a checkpoint could not be written to {path.parent}: {reason} -- older ones are "
            "intact; once there is room and permission, the same command goes on from them"
        ) from error


def read(path: Path, like: TrainState) -> Restored:
    """Returns a checkpoint, after every byte of it has been checked. Nothing in it is executed.

    Args:
      path: its folder.
      like: a state of the same shapes.

    Raises:
      DamagedCheckpointError: if it is not as it was written.
      OSError: if the disk does not give what it holds, which says nothing of that.
      RunError: if it is of another state, naming all arrays that differ.
    """
    if reason := manifest.damage(path):
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {reason}")
    try:
        run = read_run(path)
        if differences := differing(run.arrays, arrays_of(like)):
            raise RunError(f"the checkpoint {path} is of another state: {'; '.join(differences)}")
        state = _checkpointer().restore(
            path.absolute() / "state", args=ocp.args.StandardRestore(jax.device_get(like))
        )
        if str(state.step) != path.name:
            raise DamagedCheckpointError(
                f"the checkpoint {path} is damaged: it is of step {state.step}"
            )
        return Restored(state, run.progress)
    except (RunError, OSError, MemoryError):
        raise
    except Exception as error:  # somebody sealed what is no checkpoint; Orbax raises all there is
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: it cannot be read ({type(error).__name__})"
        ) from error


def read_run(path: Path) -> Run:
    """Returns what a checkpoint says beside its state, unchecked by the seal.

    Raises:
      DamagedCheckpointError: if that makes no sense.
      OSError: if it cannot be read.
    """
    try:
        run = json.loads((path / RUN_FILE).read_text())
        progress = Progress(**run["progress"])
        figures = float(progress.seconds) + float(progress.validation_accuracy or 0)
        if not math.isfinite(figures) or type(progress.evaluated) is not bool:
            raise ValueError(progress)
        return Run({name: str(array) for name, array in run["arrays"].items()}, progress)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: {RUN_FILE} makes no sense"
        ) from error


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


def _checkpointer() -> ocp.Checkpointer:
    # Of several processes only the first comes here: it must not wait for the others.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
