"""What is measured: sums and counts, so that uneven batches and devices add up exactly."""

import jax
import numpy as np
from clu import metrics

# Figures of the training steps since the last report. A module with
# `from __future__ import annotations` could not define these.
TrainMetrics = metrics.Collection.create(
    loss=metrics.Average.from_output("loss"),
    accuracy=metrics.Accuracy,
    gradient_norm=metrics.Average.from_output("gradient_norm"),
)

# Figures of a whole split.
EvalMetrics = metrics.Collection.create(
    loss=metrics.Average.from_output("loss"), accuracy=metrics.Accuracy
)


def compute(collection: metrics.Collection) -> dict[str, float]:
    """Waits for a collection that is on one device and returns its averages, by name."""
    with np.errstate(invalid="ignore"):  # an average of nothing is NaN
        return {name: float(value) for name, value in jax.device_get(collection).compute().items()}
