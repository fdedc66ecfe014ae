"""Accuracy and loss on all images of a split."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from rnnjax.classifier import Params
from rnnjax.data.batches import Batch, eval_batches
from rnnjax.data.datasets import Split
from rnnjax.system.devices import Devices, choose, unreplicate
from rnnjax.system.distributed import gather_devices
from rnnjax.training import metrics
from rnnjax.training.metrics import EvalMetrics
from rnnjax.training.over_seeds import join_rows, stack, unstack
from rnnjax.training.predictions import Predictions
from rnnjax.training.task import EvalStep, compile_eval_step
from rnnjax.training.trained import Trained


class Evaluation(NamedTuple):
    """What a model does on a split."""

    loss: float  # mean over all images, nats
    accuracy: float  # share of all images, in [0, 1]
    predictions: Predictions  # of all images, in the order of the split
    last_hidden: Float[np.ndarray, "B H"]  # of the first batch, for its histogram


def device_batches(devices: Devices, split: Split, batch_size: int) -> list[Batch]:
    """Puts a whole split on the devices, cut into padded batches: uint8, so it stays small.

    Args:
      devices: that share each batch.
      split: the images.
      batch_size: images a batch over all devices, which is rounded up to a multiple of them.

    Returns:
      Batches with leaves `[D, B, ...]`, over the local devices.
    """
    batch_size = devices.round_up(batch_size)
    batches = eval_batches(split, batch_size, jax.process_index(), jax.process_count())
    return [devices.shard(batch) for batch in batches]


def evaluate(
    devices: Devices,
    eval_step: EvalStep,
    params: Params,
    batches: Sequence[Batch],
    labels: Int[np.ndarray, " N"],
    num_seeds: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Evaluation] | None:
    """Evaluates replicated parameters on every image of a split, those of each seed.

    Args:
      devices: that share each batch.
      eval_step: of `compile_eval_step`, on them.
      params: replicated parameters, leaves `[D, ...]`; of several seeds `[D, N, ...]`.
      batches: of `device_batches`, leaves `[D, B, ...]`.
      labels: of all images of the split, whose batches those of all processes make up.
      num_seeds: whose parameters they are.
      should_stop: called before each batch; as soon as it is true, None is returned.
    """
    sums = devices.replicate(stack([EvalMetrics.empty()] * num_seeds))
    probabilities, first_hidden = [], list[jax.Array]()
    for batch in batches:
        if should_stop():
            return None
        sums, of_batch, last_hidden = eval_step(params, sums, batch)
        probabilities.append(unreplicate(of_batch))
        first_hidden = first_hidden or [last_hidden]
    return [
        Evaluation(
            **metrics.compute(of_seed),
            predictions=Predictions(together[: len(labels)], labels),  # without the padding
            last_hidden=hidden,
        )
        for of_seed, together, hidden in zip(
            unstack(unreplicate(sums), num_seeds),
            unstack(join_rows(jax.device_get(probabilities)), num_seeds),
            unstack(all_rows(first_hidden[0]), num_seeds),
            strict=True,
        )
    ]


def all_rows(of_devices: Float[Array, "D *N B H"]) -> Float[np.ndarray, "*N rows H"]:
    """Returns the rows of the devices of all processes, in their order, on each host."""
    return join_rows(gather_devices(of_devices))


def evaluate_trained(trained: Trained, split: Split) -> Evaluation:
    """Evaluates a model of a run on all images of a split, on all devices that are here.

    So figures are training's to rounding, and to the bit if it had as many devices.
    """
    devices = choose(dataclasses.replace(trained.config.parallel, devices=0))
    evaluation = evaluate(
        devices,
        compile_eval_step(trained.task, devices),
        devices.replicate(trained.params),
        device_batches(devices, split, trained.config.eval_batch_size),
        split.labels,
    )
    assert evaluation is not None  # nothing stops it
    return evaluation[0]


def predict_trained(
    trained: Trained, images: UInt8[np.ndarray, "N Y X *C"]
) -> Float[np.ndarray, "N K"]:
    """Returns the probabilities of the classes, by the program that evaluates, with its bits."""
    unlabelled = Split(images, np.zeros(len(images), np.int32))
    return evaluate_trained(trained, unlabelled).predictions.probabilities
