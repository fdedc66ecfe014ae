"""Which checkpoints a folder holds: read, and nothing written."""

import contextlib
import os
from pathlib import Path

from rnnjax.errors import ConfigError, RunError
from rnnjax.runs.checkpoint import (
    DamagedCheckpointError,
    Metadata,
    Restored,
    State,
    read,
    read_metadata,
)


def steps_in(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, the oldest first.

    Raises:
      OSError: if the folder cannot be read, which must not pass for a folder without any.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if is_step(name))


def largest_named(folder: Path) -> int:
    """Returns the largest step that anything in a folder is named by, whole or not; 0 without any.

    Raises:
      OSError: if the folder cannot be read.
    """
    try:
        stems = (name.partition(".")[0] for name in os.listdir(folder))
    except FileNotFoundError:
        return 0
    return max((int(stem) for stem in stems if is_step(stem)), default=0)


def newest_metadata(folder: Path, run: str | None = None) -> Metadata | None:
    """Returns what the newest checkpoint says that can be believed; None without any.

    Args:
      folder: of checkpoints.
      run: the identity of the run that it must be of; None: of any.

    Raises:
      OSError: if something that is there cannot be read.
    """
    for step in reversed(steps_in(folder)):
        with contextlib.suppress(DamagedCheckpointError):
            metadata = read_metadata(folder / str(step))
            if run in (None, metadata.origin.run):
                return metadata
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
                others = [str(other) for other in steps_in(folder) if str(other) != path.name]
                there = f"those of the steps {', '.join(others)} remain: --step chooses one"
                raise RunError(f"{error}; {there if others else 'there is no other'}") from error


def is_step(name: str) -> bool:
    """Whether a folder of this name is a checkpoint."""
    return name.isdecimal() and name == str(int(name))
