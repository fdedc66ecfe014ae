"""One checkpoint: a folder written by Orbax, sealed, and checked to the last byte when read."""

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from rnnjax.errors import RunError
from rnnjax.runs import manifest, sealed
from rnnjax.system import files

METADATA_FILE = "run.json"
State = TypeVar("State")  # any tree of arrays


class Progress(NamedTuple):
    """What a checkpoint says of the run beside its state."""

    seconds: float = 0.0  # spent in the processes that took these steps
    # At this step, if it was evaluated on held-out images; of several seeds their mean.
    validation_accuracy: float | None = None
    failed: Mapping[str, str] = MappingProxyType({})  # by seed, of several: why it did not go on


class Origin(NamedTuple):
    """Where a checkpoint comes from."""

    run: str  # the identity of the run, which no other has
    numerics: dict[str, str]  # what its bits depend on beside the settings


class Metadata(NamedTuple):
    """What `METADATA_FILE` holds."""

    step: int
    arrays: dict[str, str]  # `describe_arrays` of the state
    progress: Progress
    origin: Origin


@dataclasses.dataclass(frozen=True)
class Restored(Generic[State]):
    """What a checkpoint holds."""

    step: int
    state: State  # on the host
    progress: Progress
    origin: Origin


class DamagedCheckpointError(RunError):
    """A checkpoint is not as it was written."""


def write(path: Path, step: int, state: PyTree, progress: Progress, origin: Origin) -> None:
    """Writes a checkpoint into a folder, seals it and waits until it is on the disk.

    Args:
      path: the folder, which is made; whatever is there is removed.
      step: the steps taken.
      state: a tree of arrays on the host.
      progress: what else is to be known of the run.
      origin: the run.

    Raises:
      RunError: if that fails; nothing is left of it but what cannot be removed.
    """
    try:
        files.remove(path)
        path.mkdir()
        _checkpointer().save(path.absolute() / "state", args=ocp.args.StandardSave(state))
        metadata = {
            "step": step,
            "arrays": describe_arrays(state),
            "progress": progress._asdict() | {"failed": dict(progress.failed)},
            "origin": origin._asdict(),
        }
        files.write_json(path / METADATA_FILE, metadata)
        manifest.seal(path)
    except Exception as error:  # Orbax raises what its storage libraries raise
        _remove_draft(path)
        if not path.parent.is_dir():
            raise RunError(f"{path.parent} was removed while a run was writing to it") from error
        reason = str(error).split("[tensorstore_spec")[0].strip().split("\n")[0].rstrip(":")
        raise RunError(
            f"a checkpoint could not be written to {path.parent}: {reason}; nothing "
            "older is lost: once that is mended, give the same command again"
        ) from error


def _remove_draft(path: Path) -> None:
    """Removes what there is of a checkpoint, to which threads of Orbax may still add something."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)  # the disk may be full
        if not path.exists():
            break
        time.sleep(0.1)


def read(path: Path, template: State) -> Restored[State]:
    """Returns a checkpoint, after every byte of it has been checked. Nothing in it is executed.

    Args:
      path: its folder, named by its step.
      template: a tree of arrays of the same structure, shapes and dtypes.

    Raises:
      DamagedCheckpointError: if it is not as it was written.
      OSError: if the disk does not give what it holds, which says nothing of that.
      RunError: if it is of another state, naming all arrays that differ.
    """
    if reason := manifest.damage(path):
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {reason}")
    try:
        metadata = read_metadata(path)
        if differences := array_differences(metadata.arrays, describe_arrays(template)):
            raise RunError(f"the checkpoint {path} is of another state: {'; '.join(differences)}")
        state = _checkpointer().restore(
            path.absolute() / "state", args=ocp.args.StandardRestore(jax.device_get(template))
        )
        return Restored(metadata.step, state, metadata.progress, metadata.origin)
    except (RunError, OSError, MemoryError):
        raise
    except Exception as error:  # a seal around what is no checkpoint makes Orbax raise anything
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: it cannot be read ({type(error).__name__})"
        ) from error


def read_metadata(path: Path) -> Metadata:
    """Returns what a checkpoint says beside its state, once that is as it was sealed.

    Raises:
      DamagedCheckpointError: if it is not, or says what cannot be.
      OSError: if it cannot be read.
      RunError: if an earlier version has written it.
    """
    try:
        content = manifest.read_sealed(path, METADATA_FILE)
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: {missing} is missing"
        ) from error
    except (ValueError, NotADirectoryError, files.UntrustedFileError) as error:
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {error}") from error
    try:
        stored = json.loads(content)
        if "origin" not in stored and "progress" in stored:
            raise RunError(
                f"the checkpoint {path} was written by an earlier rnnjax, whose runs do not go on; "
                "name another --workdir"
            )
        metadata = _parse(stored)
    except sealed.SHAPE_ERRORS as error:
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: {METADATA_FILE} makes no sense"
        ) from error
    if str(metadata.step) != path.name:
        raise DamagedCheckpointError(
            f"the checkpoint {path} is damaged: it is of step {metadata.step}"
        )
    return metadata


def _parse(stored: dict[str, Any]) -> Metadata:
    progress, origin = Progress(**stored["progress"]), Origin(**stored["origin"])
    sealed.number(progress.seconds)
    sealed.number(progress.validation_accuracy or 0, at_most=1)
    failed = {str(int(seed)): str(reason) for seed, reason in progress.failed.items()}
    arrays = {name: str(array) for name, array in stored["arrays"].items()}
    numerics = {name: str(value) for name, value in origin.numerics.items()}
    return Metadata(
        sealed.count(stored["step"]),
        arrays,
        progress._replace(failed=failed),
        Origin(str(origin.run), numerics),
    )


def describe_arrays(state: PyTree) -> dict[str, str]:
    """Returns {path: dtype and shape} of all arrays of a tree, or of its shapes alone."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{[*leaf.shape]}"
        for path, leaf in leaves
    }


def array_differences(stored: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Returns a line for each array that two described trees do not have alike."""
    names = [*stored, *(name for name in wanted if name not in stored)]
    return [
        f"{name} was {stored.get(name, 'absent')} and is now {wanted.get(name, 'absent')}"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]


def _checkpointer() -> ocp.Checkpointer:
    # Only the primary process comes here: it must not wait for the others.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="primary"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
