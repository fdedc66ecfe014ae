"""Accuracy and loss on all images of a split."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax import metrics, parallel
from rnnjax.classifier import Params
from rnnjax.data.pipeline import Batch, eval_batches
from rnnjax.data.sources import Split
from rnnjax.metrics import EvalMetrics


class Evaluation(NamedTuple):
    cross_entropy: float  # mean over all images, nats
    accuracy: float  # share of all images, in [0, 1]
    last_hidden: np.ndarray  # [N, H], of the first batch, for a look at it


def device_batches(split: Split, batch_size: int) -> list[Batch]:
    """Puts a whole split on the devices, cut into padded batches: uint8, so it stays small."""
    batch_size = parallel.round_up_to_devices(batch_size)
    batches = eval_batches(split, batch_size, jax.process_index(), jax.process_count())
    return [parallel.shard(batch) for batch in batches]


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
    sums = parallel.replicate(EvalMetrics.empty())
    first_hidden = None
    for batch in batches:
        if stop:
            return None
        sums, last_hidden = eval_step(params, sums, batch)
        first_hidden = last_hidden if first_hidden is None else first_hidden
    figures = metrics.compute(parallel.unreplicate(sums))
    hidden = np.concatenate(jax.device_get(first_hidden))
    return Evaluation(figures["cross_entropy"], figures["accuracy"], hidden)
