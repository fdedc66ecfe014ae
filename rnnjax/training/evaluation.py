"""Accuracy and loss on all images of a split."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax import classifier
from rnnjax import config as settings
from rnnjax.classifier import Params
from rnnjax.data import datasets
from rnnjax.data.batches import Batch, eval_batches
from rnnjax.data.datasets import Split
from rnnjax.data.sequences import num_features, to_sequences
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs import checkpoint, checkpoints, workdir
from rnnjax.system import devices
from rnnjax.training import metrics
from rnnjax.training import state as train_state
from rnnjax.training.metrics import EvalMetrics
from rnnjax.training.optimizer import adam
from rnnjax.training.state import TrainState
from rnnjax.training.step import eval_step


class Evaluation(NamedTuple):
    cross_entropy: float  # mean over all images, nats
    accuracy: float  # share of all images, in [0, 1]
    last_hidden: np.ndarray  # [N, H], of the first batch, for a look at it


def device_batches(split: Split, batch_size: int) -> list[Batch]:
    """Puts a whole split on the devices, cut into padded batches: uint8, so it stays small."""
    batch_size = devices.round_up_to_devices(batch_size)
    batches = eval_batches(split, batch_size, jax.process_index(), jax.process_count())
    return [devices.shard(batch) for batch in batches]


def evaluate(
    eval_step: Callable[..., Any], params: Params, batches: Sequence[Batch], stop: object = False
) -> Evaluation | None:
    """Evaluates replicated parameters on every image of `device_batches`.

    Args:
      eval_step: the compiled `train_step.eval_step`.
      params: replicated parameters.
      batches: the split.
      stop: as soon as this is true, None is returned.
    """
    sums = devices.replicate(EvalMetrics.empty())
    first_hidden = None
    for batch in batches:
        if stop:
            return None
        sums, last_hidden = eval_step(params, sums, batch)
        first_hidden = last_hidden if first_hidden is None else first_hidden
    figures = metrics.compute(devices.unreplicate(sums))
    hidden = np.concatenate(jax.device_get(first_hidden))
    return Evaluation(figures["cross_entropy"], figures["accuracy"], hidden)


def evaluate_checkpoint(folder: Path, step: int | None) -> tuple[int, str, Evaluation]:
    """Evaluates a stored step on all test images, as training did; writes nothing.

    Args:
      folder: the workdir of a run.
      step: one of its checkpoints; None: the newest.

    Returns:
      The step, the name of the data set, and its evaluation.

    Raises:
      RunError: if there is no such checkpoint, or it is damaged.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise ConfigError(f"--workdir={folder} holds no run: there is no config.json")
    config = settings.from_dict(workdir.read_config(config_file))
    _find(folder, step)  # before the seconds that all else takes
    features = num_features(config.data.sequence)
    model = classifier.build(config.model, datasets.NUM_CLASSES, features)
    read = functools.partial(
        to_sequences, kind=config.data.sequence, permutation_seed=config.data.permutation_seed
    )
    like = train_state.create(
        model,
        adam(config.optimizer, config.num_steps),
        jax.random.key(config.seed),
        read(np.zeros((1, 28, 28), np.uint8)),
    )
    state = _read(folder, step, like)
    dataset = datasets.load(config.data)
    compiled = devices.compile_step(
        functools.partial(eval_step, model=model, read=read, axis_name=devices.AXIS),
        donate_argnums=(1,),
    )
    batches = device_batches(dataset.test, config.eval_batch_size)
    found = evaluate(compiled, devices.replicate(state.params), batches)
    assert found is not None  # nothing tells it to stop
    return int(state.step), dataset.name, found


def _find(folder: Path, step: int | None) -> Path:
    steps = checkpoints.steps_in(folder / "checkpoints")
    if not steps or step not in (None, *steps):
        kept = ", ".join(map(str, steps)) or "none"
        wanted = "" if step is None else f" of step {step}"
        raise ConfigError(f"{folder} has no checkpoint{wanted}; kept are: {kept}")
    return folder / "checkpoints" / str(steps[-1] if step is None else step)


def _read(folder: Path, step: int | None, like: TrainState) -> TrainState:
    """Reads a checkpoint, which a run that is under way may remove meanwhile."""
    while True:
        path = _find(folder, step)
        try:
            return checkpoint.read(path, like).state
        except (OSError, checkpoint.DamagedCheckpointError) as error:
            if path.is_dir():
                steps = checkpoints.steps_in(path.parent)
                raise RunError(
                    f"{error}; kept are the steps {', '.join(map(str, steps))}: --step chooses one"
                ) from error
