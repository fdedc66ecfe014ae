"""What a comparison asks for: its variants, and the runs that each of them needs.

All of it follows from the command line and the outcomes that there are, so that a comparison goes
on from whatever is on the disk.
"""

import dataclasses
import hashlib
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax import cell_source
from rnnjax.comparing import axes, search
from rnnjax.comparing.axes import Axis, Choice, Range
from rnnjax.comparing.outcome import Outcome
from rnnjax.comparing.values import CELL, split_options, variant_name, with_values
from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.seeds import FOLDER, seeds_of
from rnnjax.validation import validate

HELD_OUT = 5_000  # images to choose by, unless the settings say how many
SIZE = "model.hidden_size"
RUNS, TRIALS = "runs", "trials"  # folders
MEANS = "means"  # the folder of TensorBoard's curves, beside those of the variants
Values = Mapping[str, Any]  # of settings, by dotted name


class Comparison(NamedTuple):
    """What was asked for."""

    out: Path
    config: Config  # of all runs, but for what is varied
    vary: Sequence[str]  # as typed
    axes: Sequence[Axis]
    space: Sequence[Choice | Range]  # of what is searched
    num_trials: int  # of each variant
    sampler: str
    num_seeds: int
    seeds_at_once: int | None  # most seeds in a program; None: as the processes are
    num_jobs: int  # processes at a time
    compute: str  # of `axes.COMPUTE`

    @property
    def num_seeds_at_once(self) -> int:
        """The seeds in a program: all, unless there are more processes than variants."""
        share = -(-len(self.variants) * self.num_seeds // self.num_jobs)
        return min(self.num_seeds, self.seeds_at_once or share)

    @property
    def variants(self) -> list[dict[str, Any]]:
        """The values of each row of the table but for those that are searched."""
        return axes.combinations(self.axes)


class Job(NamedTuple):
    """A run that is wanted."""

    variant: str  # what people call it
    path: str  # of its workdir, in the folder of the comparison
    config: Config

    @property
    def title(self) -> str:
        """What people call the run."""
        first, number = self.config.seed, self.config.seeds
        seeds = f"seeds {first}-{first + number - 1}" if number > 1 else f"seed {first}"
        return f"{self.variant}: {'trial' if self.path.startswith(TRIALS) else seeds}"


def make(
    out: Path,
    config: Config,
    vary: Sequence[str],
    *,
    num_seeds: int,
    seeds_at_once: int | None = None,
    num_jobs: int = 1,
    num_trials: int = 0,
    sampler: str = "random",
    compute: str = axes.AS_SET,
) -> Comparison:
    """Returns what is asked for, with the places of own cells, after a look whether it can be.

    Raises:
      ConfigError: for a value that cannot be, or settings that do not go together.
    """
    compared, space = axes.parse(vary)
    named = {axis.name for axis in (*compared, *space)}
    if config.seeds != 1:
        raise ConfigError(f"config.seeds={config.seeds}: of a comparison, --seeds says how many")
    if not compared and not space:
        raise ConfigError("--vary is missing: what is compared? Such as --vary model.cell=lstm,gru")
    if num_trials and not space:
        raise ConfigError(
            f"--search={num_trials}, but no --vary is a range or a choice, such as "
            "optimizer.learning_rate=log:1e-4..1e-2"
        )
    if sampler != search.SAMPLERS[0] and not space:
        raise ConfigError(f"--sampler={sampler}, but no --vary is a range or a choice")
    if space and not num_trials and not all(isinstance(one, Choice) for one in space):
        raise ConfigError("--search is missing: how many trials of the ranges for each row?")
    if count := search.num_combinations(space) if space else None:
        num_trials = min(num_trials or count, count)
    if compute != axes.AS_SET and SIZE in named:
        raise ConfigError(f"--compute={compute} finds {SIZE}, so that it cannot be varied")
    if compute != axes.AS_SET and not all(one.name.startswith("optimizer.") for one in space):
        raise ConfigError(
            f"--compute={compute} finds one {SIZE} for each row, so that nothing can be searched "
            "but settings of the optimizer"
        )
    validate(dataclasses.replace(config, seeds=num_seeds))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data))
    if "data.validation_size" not in named:
        config.data.validation_size = config.data.validation_size or HELD_OUT
    located = [_locate(axis, config, out) if axis.name == CELL else axis for axis in compared]
    comparison = Comparison(
        *(out, config, vary, located, space),
        *(num_trials, sampler, num_seeds, seeds_at_once, num_jobs, compute),
    )
    names = [variant_name(values) for values in comparison.variants]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"--vary: two variants go by the name {doubles.pop()!r}; rename a file")
    return comparison


def _locate(axis: Axis, config: Config, out: Path) -> Axis:
    """Returns the cells with the absolute places of those that are in files."""
    located = []
    for text in axis.values:
        cell, _ = split_options(text)
        place = cell_source.locate(with_values(config, {CELL: cell}), out).model.cell
        located.append(place + text.removeprefix(cell))
    return Axis(axis.name, tuple(located))


def config_of(comparison: Comparison, values: Values, hidden_size: int | None = None) -> Config:
    """Returns the settings of a run with these values, of an own cell with its sha256.

    Args:
      comparison: that it is of.
      values: of what is varied.
      hidden_size: that was found for them; None: as it is set.
    """
    found = {} if hidden_size is None else {SIZE: hidden_size}
    config = with_values(comparison.config, {**values, **found})
    return cell_source.locate(config, comparison.out)


def folder_of(values: Values) -> str:
    """Returns the name of a variant's folder, which no other values have, in whatever order.

    >>> folder_of({"model.cell": "lstm", "optimizer.learning_rate": 0.003})
    'lstm,learning_rate=0.003'
    """
    values = dict(sorted(values.items()))
    name = variant_name(values)
    plain = re.sub(r"[^\w.,=+-]", "_", name.replace(", ", ","), flags=re.ASCII)
    if plain == name.replace(", ", ",") and len(plain) <= 100 and plain != MEANS:
        return plain
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    return f"{plain[:80]}-{digest[:8]}"


def seed_blocks(comparison: Comparison, begun: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Returns the runs that a variant needs for its seeds: the first of each, and how many.

    Args:
      comparison: that says how many.
      begun: those that it has already, which stay as they are.
    """
    there = {first + n for first, number in begun for n in range(number)}
    wanted = seeds_of(dataclasses.replace(comparison.config, seeds=comparison.num_seeds))
    missing = [seed for seed in wanted if seed not in there]
    new = []
    while missing:
        number = 1
        while number < min(comparison.num_seeds_at_once, len(missing)):
            if missing[number] != missing[0] + number:
                break
            number += 1
        new.append((missing[0], number))
        missing = missing[number:]
    needed = [(first, n) for first, n in begun if {*range(first, first + n)} & {*wanted}]
    return [*needed, *new]


def seed_job(values: Values, config: Config, first: int, number: int) -> Job:
    """Returns the run of some seeds of a variant."""
    name = f"seeds_{first}-{first + number - 1}" if number > 1 else f"{FOLDER}{first}"
    own = dataclasses.replace(config, seed=first, seeds=number)
    return Job(variant_name(values), f"{RUNS}/{folder_of(values)}/{name}", own)


def trial_job(values: Values, config: Config) -> Job:
    """Returns the run that tells how good values are, of a seed that is not among those compared.

    Had it been, the values that suit it would have been chosen, and its accuracy be too good.
    """
    own = dataclasses.replace(config, seed=(config.seed + 2**30) % 2**31)
    return Job(variant_name(values), f"{TRIALS}/{folder_of(values)}", own)


def figure_of(outcome: Outcome) -> float:
    """Returns the mean validation accuracy of the seeds that ended; NaN of none."""
    accuracies = [of_seed.figures.validation_accuracy for of_seed in outcome.seeds.values()]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return statistics.fmean(known) if known else math.nan
