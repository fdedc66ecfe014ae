"""Where a run begins: its workdir checked and held, its newest checkpoint read.

Of several processes, the first does this for all.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rnnjax import config as settings
from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.reporting.report import Result, load_result
from rnnjax.runs import workdir
from rnnjax.runs.checkpoint import Progress, Restored
from rnnjax.runs.checkpoints import Checkpoints, steps_in
from rnnjax.system import distributed
from rnnjax.training.state import TrainState

RESULT = "result.json"


def finished(config: Config, folder: Path, create_state: Callable[[], TrainState]) -> Result | None:
    """Returns the result of a run that has no step left to take.

    Raises:
      ConfigError: if the folder cannot be written, holds another run or more steps than are asked
        for; nothing is written.
    """

    def find() -> Result | None:
        workdir.check_writable(folder)
        _check(config, folder, create_state)
        result = load_result(folder / RESULT)
        return result if result is not None and result.steps >= config.num_steps else None

    return distributed.on_first(find)


def begin(
    config: Config, folder: Path, state: TrainState, checkpoints: Checkpoints, stack: ExitStack
) -> tuple[TrainState, Progress | None]:
    """Takes a folder for this run, until the stack is closed.

    Args:
      config: the run's settings.
      folder: its workdir.
      state: the one of a new run.
      checkpoints: of the folder.
      stack: holds the folder's lock.

    Returns:
      The state of its newest intact checkpoint, on the host, and what that says of the run; the
      given state and None if there is no checkpoint.

    Raises:
      RunError: if another process holds the folder, or it has no checkpoint that is intact.
      ConfigError: if it holds another run, or more steps than are asked for.
    """
    restored = None

    def hold() -> Progress | None:
        nonlocal restored
        restored = _hold(config, folder, state, checkpoints, stack)
        return None if restored is None else restored.progress

    progress = distributed.on_first(hold)
    if progress is None:
        return state, None
    return distributed.share(state if restored is None else restored.state), progress


def _hold(
    config: Config, folder: Path, state: TrainState, checkpoints: Checkpoints, stack: ExitStack
) -> Restored | None:
    folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(workdir.locked(folder))
    # Nobody changes it from here on.
    _check(config, folder, lambda: state)
    checkpoints.tidy()
    checkpoints.try_writing(state)
    restored = checkpoints.restore(state)
    if restored is None and load_result(folder / RESULT) is not None:
        raise RunError(
            f"{folder} has a {RESULT}, but no checkpoint to go on from; bring one back from a "
            f"backup, or remove {RESULT} to start anew"
        )
    if restored is None and (folder / "config.json").exists():
        distributed.print_first(f"{folder} has no checkpoint yet: from the start")
    if restored is not None:
        distributed.print_first(f"going on from step {restored.state.step}")
    workdir.write_json(folder / "config.json", settings.to_dict(config))
    (folder / RESULT).unlink(missing_ok=True)  # of fewer steps
    return restored


def _check(config: Config, folder: Path, create_state: Callable[[], TrainState]) -> None:
    workdir.check_same_run(config, folder, create_state)
    newest = max(steps_in(folder / "checkpoints"), default=0)
    result = load_result(folder / RESULT)
    if newest > config.num_steps and (result is None or result.steps < config.num_steps):
        raise ConfigError(
            f"config.num_steps={config.num_steps}, but {folder} has {newest} steps already; "
            "python -m rnnjax.evaluate shows their figures"
        )
