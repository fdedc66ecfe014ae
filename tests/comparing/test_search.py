"""Which values a search tries: from where they should be, again the same, and towards the best."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rnnjax.comparing.axes import Searched, parse
from rnnjax.comparing.search import SAMPLERS, Trial, best, num_combinations, propose
from rnnjax.errors import ConfigError

RATE = "optimizer.learning_rate"
MIXED = [f"{RATE}=log:1e-4..1e-2", "model.num_layers=1..4", "model.readout=best:mean,max,last"]
COUNTABLE = ["model.num_layers=1..4", "model.cell_options.shape=best:(3,2),(5,2),(5,3)"]


def searched(arguments: Sequence[str]) -> list[Searched]:
    return parse(arguments)[1]


def search(
    space: Sequence[Searched], sampler: str, number: int, figure: Callable[[dict[str, Any]], float]
) -> list[Trial]:
    trials: list[Trial] = []
    for n in range(number):
        values = propose(space, trials, n, sampler)
        trials.append(Trial(values, figure(values)))
    return trials


def peak(values: dict[str, Any]) -> float:
    """Has its highest value, 0, at a learning rate of 0.002, 3 layers and readout 'max'."""
    far = math.log10(values[RATE] / 2e-3) ** 2 + 0.1 * (values["model.num_layers"] - 3) ** 2
    return -far - 0.3 * (values["model.readout"] != "max")


def test_random_values_are_spread_as_they_should_be() -> None:
    space = searched([*MIXED, "optimizer.beta1=0.5..0.9", "model.hidden_size=log:4..64"])
    trials = [propose(space, [], n, "random") for n in range(1_000)]
    kinds = [type(trials[0][one.name]) for one in space]
    assert kinds == [float, int, str, float, int]
    of = {name: [values[name] for values in trials] for name in trials[0]}
    assert stats.kstest(np.log10(of[RATE]), stats.uniform(-4, 2).cdf).pvalue > 0.01
    assert stats.kstest(of["optimizer.beta1"], stats.uniform(0.5, 0.4).cdf).pvalue > 0.01
    for name in ("model.num_layers", "model.readout"):
        assert stats.chisquare([*Counter(of[name]).values()]).pvalue > 0.01
    sizes, edges = of["model.hidden_size"], np.array([3.5, 7.5, 15.5, 31.5, 64.5])
    assert (min(sizes), max(sizes)) == (4, 64)
    octaves = np.log(edges[1:] / edges[:-1]) / np.log(edges[-1] / edges[0])
    assert stats.chisquare(np.histogram(sizes, edges)[0], 1_000 * octaves).pvalue > 0.01
    assert abs(np.corrcoef(np.log(of[RATE]), of["optimizer.beta1"])[0, 1]) < 0.1
    digits = [f"{value:.3e}" for value in of[RATE]]
    assert [float(text) for text in digits] == of[RATE]  # four, which people can read


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_can_be_counted_is_tried_once_each(sampler: str) -> None:
    space = searched(COUNTABLE)
    trials = search(space, sampler, 12, lambda values: values["model.num_layers"])
    assert len({str(trial.values) for trial in trials}) == 12
    assert propose(space, trials, 12, sampler) in [trial.values for trial in trials]


def test_few_trials_of_a_grid_are_not_all_of_its_first_value() -> None:
    space = searched(["model.cell=best:lstm,gru", "model.num_layers=best:1,2,3,4,5,6,7,8"])
    assert len({propose(space, [], n, "random")["model.cell"] for n in range(5)}) == 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_order_of_arguments_does_not_matter(sampler: str) -> None:
    trials = search(searched(MIXED), sampler, 8, peak)
    assert search(searched(MIXED[::-1]), sampler, 8, peak) == trials


@pytest.mark.parametrize(
    ("arguments", "number"), [([], 1), (COUNTABLE[1:], 3), (COUNTABLE, 12), (MIXED, None)]
)
def test_how_many_combinations_there_are(arguments: Sequence[str], number: int | None) -> None:
    assert num_combinations(searched(arguments)) == number


def test_tpe_finds_a_better_point_than_chance() -> None:
    space = searched(MIXED)
    trials = search(space, "tpe", 30, peak)
    # The best of as many at random, of 20 searches.
    many = [peak(propose(space, [], n, "random")) for n in range(600)]
    by_chance = np.median(np.reshape(many, (20, 30)).max(1))
    assert peak(dict(trials[best(trials) or 0].values)) > by_chance


def test_tpe_learns_from_trials_that_ended_and_from_failed_ones() -> None:
    space = searched(MIXED)

    def fails(values: dict[str, Any]) -> float:
        return math.nan if values[RATE] > 2e-3 else peak(values)

    trials = search(space, "tpe", 20, fails)
    assert best(trials) is not None
    search(space, "tpe", 8, lambda values: math.nan)


def test_the_best_is_the_first_of_equals() -> None:
    figures = [math.nan, 0.5, 0.7, math.nan, 0.7]
    assert best([Trial({}, figure) for figure in figures]) == 2
    assert best([Trial({}, math.nan)]) is None
    assert best([]) is None


@pytest.mark.process
@pytest.mark.parametrize("arguments", [MIXED, COUNTABLE])
def test_another_process_goes_on_with_the_same_trials(root: Path, arguments: list[str]) -> None:
    """As JSON gives the former trials back to it."""
    space = searched(arguments)
    for sampler in SAMPLERS:
        trials = search(space, sampler, 10, lambda values: float(values["model.num_layers"]))
        code = (
            "import json, sys\n"
            "from rnnjax.comparing import axes, search\n"
            "arguments, trials, sampler = json.load(sys.stdin)\n"
            "trials = [search.Trial(*trial) for trial in trials]\n"
            "space = axes.parse(arguments)[1]\n"
            "of = [search.propose(space, trials[:n], n, sampler) for n in range(len(trials))]\n"
            "print(json.dumps(of))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps([arguments, trials, sampler]),
            env={**os.environ, "PYTHONHASHSEED": "7"},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == [trial.values for trial in trials]


def test_a_sampler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown sampler 'bayes'; known are: random, tpe"):
        propose([], [], 0, "bayes")
    monkeypatch.setitem(sys.modules, "optuna", None)  # which Python takes for not installed
    with pytest.raises(ConfigError, match=r"needs Optuna: pip install -e '\.\[search\]'"):
        propose(searched(MIXED), [], 0, "tpe")
