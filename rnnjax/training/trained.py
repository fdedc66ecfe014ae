"""A model that a run has trained, as one of its checkpoints holds it."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rnnjax import cell_source
from rnnjax.classifier import Params
from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs import steps, workdir
from rnnjax.seeds import folder_of, seeds_of
from rnnjax.system.files import local_path
from rnnjax.system.messages import warn
from rnnjax.training.over_seeds import unstack
from rnnjax.training.task import Task, build_task, create_states


class Trained(NamedTuple):
    """What reads, shows or exports a model needs of its run."""

    workdir: Path
    config: Config
    task: Task
    step: int  # taken before
    params: Params  # that are evaluated; not replicated
    summaries: Path = Path()  # the folder of those of its seed

    @property
    def label(self) -> str:
        """Which model it is, for a line: the step, and of several seeds the seed."""
        seed = f"  seed {self.config.seed}" if self.summaries != self.workdir else ""
        return f"step {self.step:6d}{seed}"


def read_trained(folder: Path, step: int | None = None, seed: int | None = None) -> Trained:
    """Reads a checkpoint of a run, which may be under way; writes nothing.

    Args:
      folder: the workdir of the run.
      step: one of its checkpoints; None: the newest.
      seed: one of its seeds; None: the first.

    Returns:
      The model of one seed, with the settings that a run of it alone would have.

    Raises:
      ConfigError: if there is no run, or no such checkpoint or seed.
      RunError: if the checkpoint is damaged, or of another run.
    """
    folder = local_path("--workdir", folder)
    stored = folder / workdir.CHECKPOINTS
    with workdir.os_error_as_run_error(folder):
        config = workdir.read_config(folder)
        cell_source.check_outside(config.model, folder)
        number = find_seed(config, folder, seed)
        steps.find(stored, step)  # before the seconds that all else needs
        task = build_task(config)
        if changed := cell_source.changed(config.model):
            warn(changed)
        shapes = jax.eval_shape(lambda: create_states(task, seeds_of(config)))
        template = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        restored = steps.read_step(stored, step, template)
        if restored.origin.run != workdir.identity(folder):
            raise RunError(f"{stored / str(restored.step)} is a checkpoint of another run")
    own = dataclasses.replace(config, seed=config.seed + number, seeds=1)
    return Trained(
        folder,
        own,
        task,
        restored.step,
        unstack(restored.state.eval_params, config.seeds)[number],
        folder_of(folder, config, own.seed),
    )


def find_seed(config: Config, folder: Path, seed: int | None) -> int:
    """Returns which of a run's seeds one is, counted from 0; a ConfigError says that it is none."""
    seeds = seeds_of(config)
    if seed not in (None, *seeds):
        there = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        raise ConfigError(f"--seed={seed}: {folder} has the seeds {there}")
    return 0 if seed is None else seeds.index(seed)
