"""What is measured: sums and counts, so that uneven batches and devices add up exactly."""

import math

import jax
import numpy as np
from clu import metrics

from rnnjax.errors import NonFiniteError

# Figures of the training steps since the last report. A module with
# `from __future__ import annotations` could not define these.
TrainMetrics = metrics.Collection.create(
    cross_entropy=metrics.Average.from_output("loss"),
    accuracy=metrics.Accuracy,
    gradient_norm=metrics.Average.from_output("gradient_norm"),
)

# Figures of a whole split.
EvalMetrics = metrics.Collection.create(
    cross_entropy=metrics.Average.from_output("loss"), accuracy=metrics.Accuracy
)


def compute(collection: metrics.Collection) -> dict[str, float]:
    """Waits for a collection that is on one device and returns its averages."""
    with np.errstate(invalid="ignore"):  # an average of nothing is NaN
        return {name: float(value) for name, value in jax.device_get(collection).compute().items()}


WAYS_ON = "config.optimizer.clip_norm=1 or a lower learning_rate in a new --workdir may help"
HALTED = f"--config.on_nan=skip leaves such steps out; {WAYS_ON}"


def check_finite(averages: dict[str, float], step: int) -> None:
    """Raises a NonFiniteError if a figure up to `step` is NaN or infinite."""
    for name, value in averages.items():
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{name} became {value} at or shortly before step {step}; {HALTED}"
            )


def check_skipped(skipped: int, limit: int, step: int) -> None:
    """Raises a NonFiniteError if more steps were skipped than the limit allows."""
    if skipped > limit:
        raise NonFiniteError(
            f"{skipped} steps up to {step} had a loss or gradient that was not "
            f"finite, more than config.max_skipped_steps={limit}; {WAYS_ON}"
        )
