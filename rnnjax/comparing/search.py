"""Which values a search tries, trial by trial: at random, or where Optuna's sampler expects most.

The values of a trial follow from what is searched, the trials before it and its number, so that a
comparison that was killed goes on with the same ones. All variants have the same random trials.
"""

import importlib.util
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rnnjax.comparing.axes import Choice, Searched
from rnnjax.errors import ConfigError, did_you_mean

SAMPLERS = ("random", "tpe")
FIRST_AT_RANDOM = 5  # trials of "tpe", which tell it where to begin


class Trial(NamedTuple):
    """What some values came to."""

    values: Mapping[str, Any]
    figure: float  # accuracy on the validation images; NaN if the trial failed


def num_combinations(space: Sequence[Searched]) -> int | None:
    """Returns how many combinations there are; None if they cannot be counted."""
    columns = _countable(space)
    return None if columns is None else math.prod(map(len, columns))


def propose(
    space: Sequence[Searched], trials: Sequence[Trial], number: int, sampler: str
) -> dict[str, Any]:
    """Returns the values of a trial, which are the same whenever they are asked for.

    Where all combinations can be counted, none is tried twice before all have been tried once.

    Args:
      space: what is searched, in any order.
      trials: those before, of which "random" needs none.
      number: of the trial, from 0.
      sampler: of `SAMPLERS`; "tpe" is Optuna's tree-structured Parzen estimator.

    Raises:
      ConfigError: if there is no such sampler, or it is not installed.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(f"unknown sampler {sampler!r}; {did_you_mean(sampler, SAMPLERS)}")
    if sampler == "tpe" and importlib.util.find_spec("optuna") is None:
        raise ConfigError("the sampler tpe needs Optuna: pip install -e '.[search]'")
    space = sorted(space, key=lambda one: one.name)
    if sampler == "random" or number < FIRST_AT_RANDOM:
        return _at_random(space, number)
    values = _by_optuna(space, trials[:number], number)
    tried = [dict(trial.values) for trial in trials[:number]]
    if values not in tried or _countable(space) is None:
        return values
    others = (_at_random(space, n) for n in range(number + 1))
    return next((other for other in others if other not in tried), values)


def best(trials: Sequence[Trial]) -> int | None:
    """Returns which trial has the best figure, the first of equals; None if all have failed."""
    ended = [n for n, trial in enumerate(trials) if not math.isnan(trial.figure)]
    return max(ended, key=lambda n: trials[n].figure, default=None)


def _countable(space: Sequence[Searched]) -> list[Sequence[Any]] | None:
    """Returns all values of each setting, if they are equally likely and can be counted."""
    if any(not isinstance(one, Choice) and (one.is_log or not one.is_int) for one in space):
        return None
    return [
        one.values if isinstance(one, Choice) else range(int(one.low), int(one.high) + 1)
        for one in space
    ]


def _generator() -> random.Random:
    # Python promises that random(), unlike NumPy's generators, is the same in later versions.
    return random.Random(0)


def _at_random(space: Sequence[Searched], number: int) -> dict[str, Any]:
    columns = _countable(space)
    if columns is None:
        return _draws(space, number)
    size = math.prod(map(len, columns))
    nth = _nth_of_shuffled(size, number % size)
    values = {}
    for one, column in zip(space, columns, strict=True):
        nth, index = divmod(nth, len(column))
        values[one.name] = column[index]
    return values


def _nth_of_shuffled(size: int, number: int) -> int:
    """Returns a card of a shuffled deck, by Fisher and Yates, shuffling no more than is needed."""
    generator, moved, card = _generator(), {}, 0
    for place in range(number + 1):
        other = place + int(generator.random() * (size - place))
        card = moved.get(other, other)
        moved[other] = moved.get(place, place)
    return card


def _draws(space: Sequence[Searched], number: int) -> dict[str, Any]:
    generator = _generator()
    for _ in range(number * len(space)):  # of the trials before
        generator.random()
    return {one.name: _draw(one, generator.random()) for one in space}


def _draw(one: Searched, share: float) -> Any:
    """Returns what is so far along the way from the first or lowest value to the last."""
    if isinstance(one, Choice):
        return one.values[int(share * len(one.values))]
    margin = 0.5 if one.is_int else 0  # so that the ends are as likely as what is between them
    low, high = one.low - margin, one.high + margin
    if one.is_log:
        return _readable(one, math.exp(math.log(low) + (math.log(high) - math.log(low)) * share))
    return _readable(one, low + (high - low) * share)


def _readable(one: Searched, value: Any) -> Any:
    """Returns a number of a range, with four digits if it is no whole one."""
    if isinstance(one, Choice):
        return value
    rounded = round(value) if one.is_int else float(f"{value:.4g}")
    return min(max(rounded, one.low), one.high)


def _by_optuna(space: Sequence[Searched], trials: Sequence[Trial], number: int) -> dict[str, Any]:
    import optuna  # optional, and heavy
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(one: Searched) -> Any:
        if isinstance(one, Choice):  # by its index: a value may be of any type
            return CategoricalDistribution(range(len(one.values)))
        kind: Any = IntDistribution if one.is_int else FloatDistribution
        return kind(one.low, one.high, log=one.is_log)

    def index(one: Searched, value: Any) -> Any:
        return one.values.index(value) if isinstance(one, Choice) else value

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {one.name: distribution(one) for one in space}
    sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=1)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    states = optuna.trial.TrialState
    for values, figure in trials:
        has_failed = math.isnan(figure)
        study.add_trial(
            optuna.trial.create_trial(
                state=states.FAIL if has_failed else states.COMPLETE,
                value=None if has_failed else figure,
                params={one.name: index(one, values[one.name]) for one in space},
                distributions=distributions,
            )
        )
    drawn = study.ask(distributions).params
    return {
        one.name: one.values[drawn[one.name]]
        if isinstance(one, Choice)
        else _readable(one, drawn[one.name])
        for one in space
    }
