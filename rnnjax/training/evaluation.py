"""Accuracy and loss on all images of a split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from rnnjax.classifier import Params
from rnnjax.data import datasets
from rnnjax.data.batches import Batch, eval_batches
from rnnjax.data.datasets import Dataset, Split
from rnnjax.errors import RunError
from rnnjax.runs import steps, workdir
from rnnjax.system import devices
from rnnjax.system.files import local_path
from rnnjax.training import metrics
from rnnjax.training.metrics import EvalMetrics
from rnnjax.training.predictions import Predictions
from rnnjax.training.task import EvalStep, build_task, compile_eval_step


class Evaluation(NamedTuple):
    """What a model does on a split."""

    loss: float  # mean over all images, nats
    accuracy: float  # share of all images, in [0, 1]
    predictions: Predictions  # of all images, in the order of the split
    last_hidden: Float[np.ndarray, "B H"]  # of the first batch, for its histogram


def device_batches(split: Split, batch_size: int) -> list[Batch]:
    """Puts a whole split on the devices, cut into padded batches: uint8, so it stays small.

    Args:
      split: the images.
      batch_size: images a batch over all devices, which is rounded up to a multiple of them.

    Returns:
      Batches with leaves `[D, B, ...]`, over the local devices.
    """
    batch_size = devices.round_up_to_devices(batch_size)
    batches = eval_batches(split, batch_size, jax.process_index(), jax.process_count())
    return [devices.shard(batch) for batch in batches]


def evaluate(
    eval_step: EvalStep,
    params: Params,
    batches: Sequence[Batch],
    labels: Int[np.ndarray, " N"],
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Evaluates replicated parameters on every image of a split.

    Args:
      eval_step: of `compile_eval_step`.
      params: replicated parameters, leaves `[D, ...]`.
      batches: of `device_batches`, leaves `[D, B, ...]`.
      labels: of all images of the split, whose batches those of all processes make up.
      should_stop: called before each batch; as soon as it is true, None is returned.
    """
    sums = devices.replicate(EvalMetrics.empty())
    probabilities, first_hidden = [], None
    for batch in batches:
        if should_stop():
            return None
        sums, of_batch, last_hidden = eval_step(params, sums, batch)
        probabilities.append(devices.unreplicate(of_batch))
        first_hidden = last_hidden if first_hidden is None else first_hidden
    figures = metrics.compute(devices.unreplicate(sums))
    together = np.concatenate(jax.device_get(probabilities))[: len(labels)]  # without the padding
    return Evaluation(
        figures["loss"],
        figures["accuracy"],
        Predictions(together, labels),
        np.concatenate(jax.device_get(first_hidden)),
    )


def evaluate_checkpoint(folder: Path, step: int | None) -> tuple[int, Dataset, Evaluation]:
    """Evaluates a stored step on all test images, as training did; writes nothing.

    Args:
      folder: the workdir of a run.
      step: one of its checkpoints; None: the newest.

    Returns:
      The step, the data set, and its evaluation.

    Raises:
      ConfigError: if there is no run, or no such checkpoint.
      RunError: if the checkpoint is damaged, or of another run.
      DataError: if the data is missing or altered.
    """
    folder = local_path("--workdir", folder)
    stored = folder / workdir.CHECKPOINTS
    with workdir.os_error_as_run_error(folder):
        config = workdir.read_config(folder)
        steps.find(stored, step)  # before the seconds that all else needs
        task = build_task(config)
        restored = steps.read_step(stored, step, task.create_state())
        if restored.origin.run != workdir.identity(folder):
            raise RunError(f"{stored / str(restored.step)} is a checkpoint of another run")
    dataset = datasets.load(config.data)
    evaluation = evaluate(
        compile_eval_step(task),
        devices.replicate(restored.state.params),
        device_batches(dataset.test, config.eval_batch_size),
        dataset.test.labels,
    )
    assert evaluation is not None  # nothing stops it
    return restored.step, dataset, evaluation
