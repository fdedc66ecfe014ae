"""Where a run begins: is it finished, and which is its newest intact checkpoint.

Of several processes, the primary one does this for all.
"""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import PyTree

from rnnjax import config as settings
from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs import result, workdir
from rnnjax.runs.checkpoint import Progress, Restored, State
from rnnjax.runs.checkpoints import Checkpoints, steps_in
from rnnjax.runs.result import Result
from rnnjax.system import distributed
from rnnjax.system.files import write_json


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

    def find() -> Result | None:
        workdir.check_writable(folder)
        _check(config, folder, create_state)
        stored = result.read(folder)
        return stored if stored is not None and stored.steps >= config.num_steps else None

    return distributed.broadcast_from_primary(find)


def restore(
    config: Config, folder: Path, state: State, checkpoints: Checkpoints
) -> Restored[State]:
    """Returns where a run goes on, and writes its settings.

    Args:
      config: the run's settings.
      folder: its workdir, held by the primary process.
      state: the one of a new run.
      checkpoints: of the folder.

    Returns:
      Its newest intact checkpoint; without any, step 0 and the given state.

    Raises:
      RunError: if none of its checkpoints is intact.
      ConfigError: if it holds another run, or more steps than are asked for.
    """
    restored = Restored(0, state, Progress())

    def restore_on_primary() -> tuple[int, Progress]:
        nonlocal restored
        _check(config, folder, lambda: state)
        checkpoints.tidy()
        checkpoints.try_writing(state)
        restored = checkpoints.restore(state) or restored
        if restored.step == 0 and result.read(folder) is not None:
            raise RunError(
                f"{folder} has a {result.NAME}, but no checkpoint to go on from; bring one back "
                f"from a backup, or remove {result.NAME} to start anew"
            )
        if restored.step == 0 and (folder / workdir.CONFIG).exists():
            distributed.print_on_primary(f"{folder} has no checkpoint yet: from the start")
        if restored.step > 0:
            distributed.print_on_primary(f"going on from step {restored.step}")
        write_json(folder / workdir.CONFIG, settings.to_dict(config))
        (folder / result.NAME).unlink(missing_ok=True)  # of fewer steps
        return restored.step, restored.progress

    step, progress = distributed.broadcast_from_primary(restore_on_primary)
    if step == 0:
        return Restored(0, state, progress)
    return Restored(step, distributed.broadcast_arrays(restored.state), progress)


def _check(config: Config, folder: Path, create_state: Callable[[], PyTree]) -> None:
    workdir.check_same_run(config, folder, create_state)
    newest = max(steps_in(folder / workdir.CHECKPOINTS), default=0)
    stored = result.read(folder)
    if newest > config.num_steps and (stored is None or stored.steps < config.num_steps):
        raise ConfigError(
            f"config.num_steps={config.num_steps}, but {folder} has {newest} steps already; "
            "python -m rnnjax.evaluate shows their figures"
        )
