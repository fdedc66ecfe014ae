"""Which hidden size gives a model as many parameters as another has, or steps as long.

Both grow with the size, nearly as a power of it: on a logarithmic scale a line through two sizes
says where to look next. Not every size is one that the cell can have.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax

from rnnjax.comparing import processes
from rnnjax.comparing.values import with_values
from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.training.task import Task, build_task
from rnnjax.validation import LARGEST

# How far from the target the nearest size may be; a measurement is good to a tenth or so.
PARAMETERS_TOLERANCE, MILLISECONDS_TOLERANCE = 0.1, 0.2
MOST_MEASUREMENTS = 6
NEAR_ENOUGH = 0.03  # of a measurement: another one would not tell more
MOST_APART = 32  # from a wanted size, of those that are tried in its place
STEP = 1.05, 4.0  # how many times larger or smaller the next size is at least, and at most
EXPONENT = 0.25, 2.0  # of the power


def task_of(config: Config) -> Task:
    """Returns the task of a run's settings, of which this process only wants to know what they are.

    `cudnn`, which it would refuse since it leaves the GPUs to the runs, is looked at as the scan.

    Raises:
      ConfigError: if there is no such model.
    """
    if config.model.implementation == "cudnn" and processes.gpus():
        config = with_values(config, {"model.implementation": "scan"})
    return build_task(config)


def num_parameters(config: Config) -> int:
    """Returns how many parameters the model has; nothing is compiled.

    Raises:
      ConfigError: if there is no such model.
    """
    task = task_of(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(task.init_state, key).params
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def equal_parameters(config: Config, target: int) -> int:
    """Returns the hidden size whose model has the number of parameters nearest to a target.

    Of several sizes with the same number, as a convolution has them, it is the smallest.

    Args:
      config: the settings; the search begins at their hidden size.
      target: the number, above 0.

    Raises:
      ConfigError: if the nearest number is more than a tenth away, or the cell has no size.
    """
    sizes = _Sizes(config)
    counts = _search(sizes, target, sizes.num_parameters)
    size = _nearest(counts, target)
    count = sizes.num_parameters(size)
    alike = _search(sizes, count, sizes.num_parameters, start=size)
    size = min(other for other in alike if alike[other] == count)
    if abs(count - target) > PARAMETERS_TOLERANCE * target:
        raise ConfigError(
            f"model.cell={config.model.cell}: no hidden_size has about {target:,} parameters; the "
            f"nearest, {size}, has {count:,}"
        )
    return size


def equal_milliseconds(config: Config, target: float, measure: Callable[[Config], float]) -> int:
    """Returns the hidden size, of a few that are measured, whose step takes nearest to a target.

    Args:
      config: the settings; the search begins at their hidden size.
      target: milliseconds, above 0.
      measure: returns how many a step takes; it is asked at most `MOST_MEASUREMENTS` times.

    Raises:
      ConfigError: if the nearest is more than a fifth away, or the cell has no size.
    """
    sizes = _Sizes(config)
    measured = _search(
        sizes,
        target,
        lambda size: measure(sizes.config(size)),
        most=MOST_MEASUREMENTS,
        near_enough=NEAR_ENOUGH,
    )
    size = _nearest(measured, target)
    if abs(measured[size] - target) > MILLISECONDS_TOLERANCE * target:
        raise ConfigError(
            f"model.cell={config.model.cell}: no hidden_size was found whose step takes about "
            f"{target:.3g} ms; the nearest, {size}, takes {measured[size]:.3g} ms"
        )
    return size


class _Sizes:
    """The hidden sizes that a model can have."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.num_parameters = functools.cache(lambda size: num_parameters(self.config(size)))

    def config(self, size: int) -> Config:
        return with_values(self._config, {"model.hidden_size": size})

    def start(self) -> int:
        """Returns where to begin; if no size can be had there, the one whose error says why."""
        wanted = self._config.model.hidden_size
        return self.near(wanted, 0, LARGEST[int] + 1) or wanted

    def near(self, wanted: float, low: int, high: int) -> int | None:
        """Returns the size nearest to a wanted one; None if there is none between two others."""
        middle = min(max(round(wanted), low + 1), high - 1)
        for apart in range(MOST_APART + 1):
            for size in (middle - apart, middle + apart):
                if low < size < high and self._can_be(size):
                    return size
        return None

    def _can_be(self, size: int) -> bool:
        try:
            self.num_parameters(size)
        except ConfigError:
            return False
        return True


def _search(
    sizes: _Sizes,
    target: float,
    figure: Callable[[int], float],
    *,
    start: int | None = None,
    most: int | None = None,
    near_enough: float | None = None,
) -> dict[int, float]:
    """Returns the figures of sizes on the way to where a target is met.

    Unless it ends before, the largest size with less than the target is among them, and the
    smallest with as much.

    Args:
      sizes: those that there are.
      target: of the figure.
      figure: of a size; grows with it, but for noise.
      start: the first size.
      most: how many figures there may be; None: any number.
      near_enough: distance from the target, as a share of it, that ends the search.
    """
    figures: dict[int, float] = {}
    size: int | None = start or sizes.start()
    while size is not None and (most is None or len(figures) < most):
        figures[size] = figure(size)
        if near_enough is not None and abs(figures[size] - target) <= near_enough * target:
            break
        low, high = _around(figures, target)
        size = sizes.near(_next(figures, target), low or 0, high or LARGEST[int] + 1)
    return figures


def _around(figures: Mapping[int, float], target: float) -> tuple[int | None, int | None]:
    """Returns the largest size with less than the target, and the smallest with as much."""
    return (
        max((size for size, figure in figures.items() if figure < target), default=None),
        min((size for size, figure in figures.items() if figure >= target), default=None),
    )


def _next(figures: Mapping[int, float], target: float) -> float:
    """Returns the size where a power of it, with the figures of two known ones, meets a target."""
    low, high = _around(figures, target)
    if low is not None and high is not None:
        *_, before, last = (figure < target for figure in figures.values())
        share = math.log(target / figures[low]) / math.log(figures[high] / figures[low])
        # Where a figure has fallen on the same side again, it is not much like a power.
        return low * (high / low) ** (0.5 if before == last else share)
    size, *others = sorted(figures, reverse=low is not None)
    exponent = 1.0
    if others:
        ratio = math.log(figures[size] / figures[others[0]])
        exponent = min(max(ratio / math.log(size / others[0]), EXPONENT[0]), EXPONENT[1])
    times = (target / figures[size]) ** (1 / exponent)
    least, most = STEP if low is not None else (1 / STEP[1], 1 / STEP[0])
    return size * min(max(times, least), most)


def _nearest(figures: Mapping[int, float], target: float) -> int:
    return min(figures, key=lambda size: (abs(figures[size] - target), size))
