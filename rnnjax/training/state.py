"""All that a run carries from step to step, and all that a checkpoint holds."""

import typing
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from rnnjax.classifier import Classifier, Params
from rnnjax.training.averaging import averaged
from rnnjax.training.metrics import TrainMetrics

if TYPE_CHECKING:
    Leaf = jax.Array
else:  # JAX builds states of shapes and shardings too, which a check at run time would refuse
    Leaf = Any


@struct.dataclass
class TrainState:
    """The state of training; replicated over D devices, all its leaves are `[D, ...]`."""

    step: Leaf  # int32, steps taken
    params: Params
    opt_state: optax.OptState
    metrics: Collection  # sums since the last report
    skipped: Leaf  # int32, steps left out because their loss or gradient was not finite

    @property
    def eval_params(self) -> Params:
        """What is evaluated: the average of the parameters, or they themselves if there is none."""
        average = averaged(self.opt_state)
        return self.params if average is None else typing.cast(Params, average)


def keys(seed: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Returns the random keys of a run: of its initial parameters, and of its dropout.

    They are Threefry's, whatever JAX's default is (`jax_default_prng_impl`, which some set for
    TPUs): of its keys alone a part of a batch draws as in the whole batch (`row_keys`).
    """
    params_key, dropout_key = jax.random.split(jax.random.key(seed, impl="threefry2x32"))
    return params_key, dropout_key


def init(
    model: Classifier,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    inputs: Float[Array, "B T F"],
) -> TrainState:
    """Returns the state before the first step; a pure function.

    Args:
      model: the classifier.
      optimizer: of its parameters.
      key: for the initial parameters.
      inputs: `[B, T, F]`, for their shape only.
    """
    params = model.init(key, inputs)["params"]
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, optimizer.init(params), TrainMetrics.empty(), skipped=zero)
