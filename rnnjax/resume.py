"""Where a run begins: its workdir checked and held, its newest checkpoint read.

For the first process of a run, which alone touches the workdir.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rnnjax import config as settings
from rnnjax import workdir
from rnnjax.checkpoint import Progress
from rnnjax.checkpoints import Checkpoints
from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.report import Result, load_result
from rnnjax.train_state import TrainState

RESULT = "result.json"


class Resumed(NamedTuple):
    arrays: list[np.ndarray]  # the leaves of the state
    progress: Progress


def finished(config: Config, folder: Path, create_state: Callable[[], TrainState]) -> Result | None:
    """Returns the result of a run that has no step left to take.

    Raises:
      ConfigError: if the folder cannot be written or holds another run; nothing is written.
    """
    workdir.check_writable(folder)
    workdir.check_same_run(config, folder, create_state)
    result = load_result(folder / RESULT)
    return result if result is not None and result.steps >= config.num_steps else None


def hold(
    config: Config,
    folder: Path,
    create_state: Callable[[], TrainState],
    checkpoints: Checkpoints,
    stack: ExitStack,
) -> Resumed | None:
    """Takes a folder for this run, until the stack is closed.

    Returns:
      Its newest intact checkpoint; None if the run is new.

    Raises:
      RunError: if another process holds the folder, or it has no checkpoint that is intact.
      ConfigError: if it holds another run, or more steps than are asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(workdir.locked(folder))
    workdir.check_same_run(config, folder, create_state)  # nobody changes it from here on
    state = create_state()
    checkpoints.tidy()
    checkpoints.try_writing(state)
    restored = checkpoints.restore(state)
    if restored is None and load_result(folder / RESULT) is not None:
        raise RunError(f"{folder} has a result, but no checkpoint to go on from")
    if restored is not None and restored.state.step > config.num_steps:
        raise ConfigError(
            f"config.num_steps={config.num_steps}, but {folder} has {restored.state.step} steps "
            "already"
        )
    workdir.write_json(folder / "config.json", settings.to_dict(config))
    (folder / RESULT).unlink(missing_ok=True)  # of fewer steps
    return restored and Resumed(jax.tree.leaves(restored.state), restored.progress)
