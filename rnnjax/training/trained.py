"""A model that a run has trained, as one of its checkpoints holds it."""

from pathlib import Path
from typing import NamedTuple

from rnnjax import cell_source
from rnnjax.classifier import Params
from rnnjax.config import Config
from rnnjax.errors import RunError
from rnnjax.runs import steps, workdir
from rnnjax.system.files import local_path
from rnnjax.system.messages import warn
from rnnjax.training.task import Task, build_task


class Trained(NamedTuple):
    """What reads, shows or exports a model needs of its run."""

    workdir: Path
    config: Config
    task: Task
    step: int  # taken before
    params: Params  # that are evaluated; not replicated


def read_trained(folder: Path, step: int | None = None) -> Trained:
    """Reads a checkpoint of a run, which may be under way; writes nothing.

    Args:
      folder: the workdir of the run.
      step: one of its checkpoints; None: the newest.

    Raises:
      ConfigError: if there is no run, or no such checkpoint.
      RunError: if the checkpoint is damaged, or of another run.
    """
    folder = local_path("--workdir", folder)
    stored = folder / workdir.CHECKPOINTS
    with workdir.os_error_as_run_error(folder):
        config = workdir.read_config(folder)
        cell_source.check_outside(config.model, folder)
        steps.find(stored, step)  # before the seconds that all else needs
        task = build_task(config)
        if changed := cell_source.changed(config.model):
            warn(changed)
        restored = steps.read_step(stored, step, task.create_state())
        if restored.origin.run != workdir.identity(folder):
            raise RunError(f"{stored / str(restored.step)} is a checkpoint of another run")
    return Trained(folder, config, task, restored.step, restored.state.eval_params)
