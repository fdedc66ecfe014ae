"""All that a run carries from step to step, and all that a checkpoint holds."""

import flax
import jax
from clu import metrics as clu_metrics
import optax

from rnnjax.classifier import Classifier
from rnnjax.metrics import TrainMetrics


@flax.struct.dataclass
class TrainState:
    step: jax.Array  # int32, steps taken
    params: optax.Params
    opt_state: optax.OptState
    metrics: clu_metrics.Collection  # sums since the last report


def create(
    model: Classifier, optimizer: optax.GradientTransformation, key: jax.Array, inputs: jax.Array
) -> TrainState:
    """Returns the state before the first step.

    Args:
      model: the classifier.
      optimizer: of its parameters.
      key: for the initial parameters.
      inputs: `[B, T, F]`, for their shape only.
    """

    def init() -> TrainState:
        params = model.init(key, inputs)["params"]
        step = jax.numpy.zeros((), jax.numpy.int32)
        return TrainState(step, params, optimizer.init(params), TrainMetrics.empty())

    return jax.jit(init)()
