"""What a terminal shows of training and of evaluations: a line each, of all seeds together."""

import math
import statistics
from collections.abc import Mapping, Sequence


def training_line(step: int, epoch: float, figures: Sequence[Mapping[str, float]]) -> str:
    """Returns the averages over the steps since the last line.

    Args:
      step: the steps taken.
      epoch: how often each training image was seen.
      figures: by seed: `loss`, `accuracy` and `steps_per_second`.
    """
    if all(is_skipped(of_seed) for of_seed in figures):
        return f"{'':14}step {step:6d}  every step since the last figures was skipped"
    figures = [of_seed for of_seed in figures if not is_skipped(of_seed)]
    return (
        f"epoch {epoch:6.2f}  step {step:6d}  training accuracy {_mean(figures, 'accuracy')}  "
        f"loss {_mean(figures, 'loss')}  {figures[0]['steps_per_second']:.1f} steps/s"
    )


def is_skipped(figures: Mapping[str, float]) -> bool:
    """Whether there is no average, since every step was skipped."""
    return not math.isfinite(figures["loss"]) and bool(figures.get("skipped_steps"))


def evaluation_line(
    step: int, split: str, figures: Sequence[Mapping[str, float]], dataset: str
) -> str:
    """Returns the `loss` and the `accuracy` on a whole split, by seed, in one line."""
    return (
        f"{'':14}step {step:6d}  {split} accuracy {_mean(figures, 'accuracy')}  "
        f"loss {_mean(figures, 'loss')}  ({dataset})"
    )


def mean_and_deviation(values: Sequence[float]) -> str:
    """Returns a mean, and of several values their standard deviation.

    >>> mean_and_deviation([0.81, 0.83])
    '0.8200 ± 0.0141'
    """
    if len(values) == 1:
        return f"{values[0]:.4f}"
    finite = all(map(math.isfinite, values))
    deviation = statistics.stdev(values) if finite else math.nan
    return f"{math.fsum(values) / len(values) if finite else math.nan:.4f} ± {deviation:.4f}"


def _mean(figures: Sequence[Mapping[str, float]], name: str) -> str:
    return mean_and_deviation([of_seed[name] for of_seed in figures])
