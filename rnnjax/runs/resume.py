"""Where a run begins: is it finished, and which is its newest intact checkpoint.

Of several processes, the primary one does this for all.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs import result, workdir
from rnnjax.runs.checkpoint import Origin, Progress, Restored, State
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.runs.result import Result
from rnnjax.runs.sealed import DamagedFileError
from rnnjax.runs.steps import largest_named, newest_metadata
from rnnjax.system import distributed, files
from rnnjax.system.messages import warn
from rnnjax.system.numerics import describe_numerics, differences


def finished(config: Config, folder: Path, create_state: Callable[[], PyTree]) -> Result | None:
    """Returns the result of a run that has no step left to take.

    Args:
      config: the run's settings.
      folder: its workdir.
      create_state: makes the state of a new run, a tree of arrays; only its shapes are computed.

    Raises:
      ConfigError: if the folder cannot be written, holds another run or more steps than are asked
        for; nothing is written.
    """

    def read_finished() -> dict[str, Any] | None:
        workdir.check_writable(folder)
        workdir.check_kinds(folder)
        with workdir.os_error_as_run_error(folder):
            stored = _check(config, folder, create_state)
        if stored is None or stored.steps < config.num_steps:
            return None
        return result.as_stored(stored)

    stored = distributed.broadcast_from_primary(read_finished)
    return None if stored is None else result.parse(stored)


def restore(
    config: Config, folder: Path, state: State, checkpoints: Checkpoints, num_devices: int
) -> Restored[State]:
    """Returns where a run goes on, and writes its settings.

    Args:
      config: the run's settings.
      folder: its workdir, held by the primary process.
      state: the one of a new run.
      checkpoints: of the folder.
      num_devices: that the run computes on.

    Returns:
      Its newest intact checkpoint; without any, step 0 and the given state.

    Raises:
      RunError: if none of its checkpoints is intact.
      ConfigError: if it holds another run, or more steps than are asked for.
    """
    numerics = describe_numerics(num_devices)
    restored = Restored(0, state, Progress(), Origin("", numerics))

    def restore_on_primary() -> tuple[int, dict[str, Any]]:
        nonlocal restored
        _check(config, folder, lambda: state)
        run = workdir.identity(folder)
        checkpoints.prepare(Origin(run, numerics))
        checkpoints.try_writing(state)
        _move_damaged_result_aside(folder)
        restored = checkpoints.restore(state) or restored
        if restored.step == 0 and result.read(folder, run) is not None:
            raise RunError(
                f"{folder} has a {result.NAME}, but no checkpoint to go on from; bring one back "
                f"from a backup, or remove {result.NAME} to start anew"
            )
        if restored.step == 0 and (folder / workdir.CONFIG).exists():
            distributed.print_on_primary(f"{folder} has no checkpoint yet: from the start")
        _compare_numerics(config, restored.origin.numerics, numerics)
        if restored.step > 0:
            distributed.print_on_primary(f"going on from step {restored.step}")
        workdir.write_config(folder, config, run)
        (folder / result.NAME).unlink(missing_ok=True)  # of fewer steps
        return restored.step, restored.progress._asdict() | {
            "failed": dict(restored.progress.failed)
        }

    step, progress = distributed.broadcast_from_primary(restore_on_primary)
    arrays = distributed.broadcast_arrays(restored.state) if step else state
    return dataclasses.replace(restored, step=step, state=arrays, progress=Progress(**progress))


def _check(config: Config, folder: Path, create_state: Callable[[], PyTree]) -> Result | None:
    """Returns the result that a workdir has, after a look whether the run there may go on."""
    workdir.check_same_run(config, folder, create_state)
    metadata = newest_metadata(folder / workdir.CHECKPOINTS, workdir.identity(folder))
    newest = 0 if metadata is None else metadata.step
    try:
        stored = _read_result(folder)
    except DamagedFileError:  # `restore` moves it aside, once it holds the workdir
        stored = None
    if newest > config.num_steps and (stored is None or stored.steps < config.num_steps):
        raise ConfigError(
            f"config.num_steps={config.num_steps}, but {folder} has {newest} steps already; "
            "python -m rnnjax.evaluate shows their figures"
        )
    return stored


def _read_result(folder: Path) -> Result | None:
    """Returns the result in a workdir; a DamagedFileError says that it cannot be believed."""
    stored = result.read(folder, workdir.identity(folder))
    newest = largest_named(folder / workdir.CHECKPOINTS)  # also a damaged one, which it may be of
    if stored is not None and newest and stored.steps > newest:
        raise DamagedFileError(
            f"{folder / result.NAME} is of {stored.steps} steps, the newest checkpoint of {newest}"
        )
    return stored


def _move_damaged_result_aside(folder: Path) -> None:
    try:
        _read_result(folder)
    except DamagedFileError as error:
        warn(f"{error}; moved to {files.move_aside(folder / result.NAME)}")


def _compare_numerics(config: Config, stored: dict[str, str], current: dict[str, str]) -> None:
    """Says what may change the last bits; raises a ConfigError instead if that is to be strict."""
    changes = "; ".join(differences(stored, current))
    if config.strict and changes:
        raise ConfigError(f"config.strict=True, and the last bits may not be the same: {changes}")
    if changes:
        distributed.print_on_primary(
            f"from here on the last bits may not be those of an uninterrupted run: {changes}"
        )
