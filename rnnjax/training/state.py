"""All that a run carries from step to step, and all that a checkpoint holds."""

import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from flax import struct

from rnnjax.classifier import Classifier, Params
from rnnjax.training.metrics import TrainMetrics


@struct.dataclass
class TrainState:
    step: jax.Array  # int32, steps taken
    params: Params
    opt_state: optax.OptState
    metrics: Collection  # sums since the last report
    skipped: jax.Array  # int32, steps left out because their loss or gradient was not finite


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
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, params, optimizer.init(params), TrainMetrics.empty(), skipped=zero)

    return jax.jit(init)()
