"""Hidden sizes with which models are as large as another one."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.training.task import build_task

FARTHEST = 0.1  # share of the parameters wanted by which the nearest size may miss them
MOST_UNITS = 2**14
MOST_MEASUREMENTS = 6
# Of the size, that the time of a step is: of products alone 2, of overhead alone 0.
USUAL_POWER, LEAST_POWER = 1.4, 0.3
NEIGHBOURS = 64  # sizes of which a cell allows one: glstm's groups, the positions of a convolution


def num_parameters(config: Config) -> int:
    """Returns the parameters of the model of a run, readout included; nothing is compiled.

    Raises:
      ConfigError: if there is no such model.
    """
    params = jax.eval_shape(build_task(config).create_state).params
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def equal_parameters(config: Config, target: int) -> int:
    """Returns the hidden size with which a model has about as many parameters as another one.

    Args:
      config: of the model.
      target: the parameters of the other one.

    Raises:
      ConfigError: if no size comes within a tenth of that.
    """
    low, high = 1, MOST_UNITS  # the number grows with the size
    while low < high:
        middle = (low + high) // 2
        size, number = _from(config, middle)
        low, high = (low, middle) if number >= target else (size + 1, max(size + 1, high))
    above = _from(config, low)
    below = _before(config, low)
    size, number = min((below, above), key=lambda of: abs(of[1] - target))
    if math.isinf(number):
        num_parameters(config)  # which says why there is no such model
    if abs(number - target) > FARTHEST * target:
        raise ConfigError(
            f"--compute=equal: {stored_config.short(config.model.cell)} has {number:,} parameters "
            f"with config.model.hidden_size={size}, and no size comes nearer to {target:,}"
        )
    return size


def equal_seconds(config: Config, target: float, seconds: Callable[[Config], float]) -> int:
    """Returns the hidden size with which a step takes about as long as another one.

    Args:
      config: of the model.
      target: what the other step takes, in seconds.
      seconds: measures a step.
    """
    size, _ = _from(config, config.model.hidden_size)
    measured: dict[int, float] = {}
    while len(measured) < MOST_MEASUREMENTS and size not in measured:
        measured[size] = seconds(_resized(config, size))
        guess = round(_of_seconds(measured, target))
        size, _ = _from(config, min(max(1, guess), MOST_UNITS))
    return min(measured, key=lambda of: abs(math.log(measured[of] / target)))


def _of_seconds(measured: Mapping[int, float], target: float) -> float:
    """Returns the size that two measured ones let expect, as if time were a power of it."""
    nearest = sorted(measured, key=lambda of: abs(math.log(measured[of] / target)))
    one = nearest[0]
    across = [of for of in nearest if (measured[of] > target) != (measured[one] > target)]
    other = (across or nearest[1:] or [0])[0]
    power = USUAL_POWER
    if other:
        power = math.log(measured[one] / measured[other]) / math.log(one / other)
    # Noise may have it that larger models are faster.
    return one * (target / measured[one]) ** (1 / min(max(power, LEAST_POWER), 2))


def _from(config: Config, size: int) -> tuple[int, float]:
    """Returns the first size from here on that the cell allows, and its parameters."""
    for candidate in range(size, size + NEIGHBOURS):
        if number := _number(config, candidate):
            return candidate, number
    return size, math.inf


def _before(config: Config, size: int) -> tuple[int, float]:
    """Returns the last size before this one that the cell allows, and its parameters."""
    for candidate in range(size - 1, max(0, size - NEIGHBOURS), -1):
        if number := _number(config, candidate):
            return candidate, number
    return size, math.inf


def _number(config: Config, size: int) -> int | None:
    """Returns the parameters with a hidden size; None if the cell does not allow it."""
    try:
        return num_parameters(_resized(config, size))
    except ConfigError:
        return None


def _resized(config: Config, size: int) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=size))
