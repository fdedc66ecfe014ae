"""Which runs a comparison needs, and what its folder makes of another command in it."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import smoke
from rnnjax.comparing import outcome, plan
from rnnjax.comparing.collect import collect
from rnnjax.comparing.conduct import Conductor
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.outcome import NOTHING, Outcome
from rnnjax.comparing.plan import Job
from rnnjax.comparing.processes import shares
from rnnjax.comparing.run import find_sizes
from rnnjax.comparing.sizes import num_parameters
from rnnjax.runs.result import SeedResult
from tests import leaky_cell

EVEN_CELL = """

class EvenCell(LeakyCell):
    @nn.nowrap
    def check(self):
        if self.features % 2:
            raise ValueError("EvenCell: features must be even")
"""


def ledger(out: Path, *vary: str, hidden_size: int = 8, **options: Any) -> Ledger:
    """Returns what is known of a comparison on drawn garments, whose folder is there."""
    config = smoke.get_config()
    config.model.hidden_size = hidden_size
    out.mkdir(exist_ok=True)
    return Ledger(plan.make(out, config, vary, **{"num_seeds": 5, **options}))


def end(of: Ledger, job: Job, accuracy: float = 0.5) -> None:
    """Has a run come to an accuracy."""
    seeds = range(job.config.seed, job.config.seed + job.config.seeds)
    nothing = {
        seed: NOTHING._replace(figures=SeedResult(seed, accuracy, 1.0, accuracy)) for seed in seeds
    }
    of.outcomes[job.path] = Outcome(1, 1.0, 1.0, 1.0, nothing)


def paths(of: Ledger) -> list[str]:
    return [job.path for job in of.due()]


def test_all_seeds_of_a_variant_are_one_run(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn,gru")
    assert paths(of) == ["runs/rnn/seeds_0-4", "runs/gru/seeds_0-4"]
    assert [job.title for job in of.due()] == ["rnn: seeds 0-4", "gru: seeds 0-4"]
    end(of, of.due()[0])
    assert paths(of) == ["runs/gru/seeds_0-4"]


def test_more_processes_than_variants_share_the_seeds(tmp_path: Path) -> None:
    assert paths(ledger(tmp_path, "model.cell=rnn", num_jobs=2)) == [
        "runs/rnn/seeds_0-2",
        "runs/rnn/seeds_3-4",
    ]


def test_the_order_of_what_is_varied_changes_no_folder(tmp_path: Path) -> None:
    vary = ["model.cell=rnn", "optimizer.learning_rate=1e-3,3e-3"]
    assert paths(ledger(tmp_path, *vary)) == paths(ledger(tmp_path, *reversed(vary)))


def test_runs_that_were_begun_stay_as_they_are_but_for_smaller_ones(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn")
    of.begin(of.due()[0])
    assert paths(ledger(tmp_path, "model.cell=rnn", num_seeds=7)) == [
        "runs/rnn/seeds_0-4",
        "runs/rnn/seeds_5-6",
    ]
    assert paths(ledger(tmp_path, "model.cell=rnn", num_seeds=2)) == ["runs/rnn/seeds_0-4"]
    single = ledger(tmp_path, "model.cell=rnn", seeds_at_once=1)
    assert paths(single) == [f"runs/rnn/seed_{seed}" for seed in range(5)]
    single.begin(single.due()[2])  # of which the larger run is no longer there
    assert paths(ledger(tmp_path, "model.cell=rnn", seeds_at_once=1))[0] == "runs/rnn/seed_2"


def test_the_best_trial_is_run_over_the_seeds(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn", "optimizer.learning_rate=best:1e-3,3e-3,1e-2")
    trials = of.due()
    assert sorted(job.path for job in trials) == [
        f"trials/rnn,learning_rate={rate}" for rate in ("0.001", "0.003", "0.01")
    ]
    assert {job.config.seed for job in trials} == {2**30}
    for job in trials:
        rate = job.config.optimizer.learning_rate
        end(of, job, {1e-3: np.nan, 3e-3: 0.8, 1e-2: 0.7}[rate])
        assert of.has_trials_due({"model.cell": "rnn"}) == (job is not trials[-1])
    assert paths(of) == ["runs/rnn,learning_rate=0.003/seeds_0-4"]
    assert of.num_steps_left({"model.cell": "rnn"}) == 5 * 300


def test_a_variant_all_of_whose_trials_fail_has_nothing_left(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn", "optimizer.learning_rate=best:1e-3,3e-3")
    for job in of.due():
        of.fail(job.path, outcome.Failure(1, [2**30], "NaN"))
    assert not of.due()
    assert of.chosen({"model.cell": "rnn"}) is None
    assert of.num_steps_left({"model.cell": "rnn"}) == 0


def test_values_that_do_not_go_together_are_failed_trials(tmp_path: Path) -> None:
    variant = {"model.cell": "rnn"}
    steps, warmup = "num_steps=best:20,40", "optimizer.warmup_steps=best:10,30"
    of = ledger(tmp_path, "model.cell=rnn", steps, warmup)
    tried = {(job.config.num_steps, job.config.optimizer.warmup_steps) for job in of.due()}
    assert tried == {(20, 10), (40, 10), (40, 30)}
    for job in of.due():
        end(of, job, 0.1 + 0.001 * job.config.num_steps)
    assert len(of.trial_jobs(variant)) == 3
    assert (of.chosen(variant) or {})["num_steps"] == 40


def test_a_variant_whose_values_never_go_together_is_a_row_with_the_reason(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn", "optimizer.warmup_steps=best:400,500")
    assert not of.due()
    (variant,) = collect(of)
    assert re.search(r"config\.optimizer\.warmup_steps=.00 is more than", variant.runs[0].failure)


def test_a_trial_that_comes_twice_is_one_run(tmp_path: Path) -> None:
    of = ledger(tmp_path, "model.cell=rnn", "batch_size=log:4..5", num_trials=6)
    for job in of.due():
        end(of, job)
    assert sorted(job.config.batch_size for job in of.trial_jobs({"model.cell": "rnn"})) == [4, 5]
    counted = ledger(tmp_path / "counted", "model.cell=rnn", "batch_size=4..5", num_trials=6)
    assert counted.comparison.num_trials == 2


@pytest.mark.process
def test_a_trial_that_no_model_has_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cell in a module that this process finds; so the process of the trial does, too."""
    (tmp_path / "beside.py").write_text(Path(leaky_cell.__file__).read_text() + EVEN_CELL)
    monkeypatch.syspath_prepend(tmp_path)
    variant = {"model.cell": "beside:EvenCell"}
    searched = "model.hidden_size=8..10"
    of = ledger(tmp_path / "out", "model.cell=beside:EvenCell", searched, num_trials=3)
    for job in of.due():
        if job.config.model.hidden_size != 9:
            end(of, job)
    for job in of.seed_jobs(of.chosen(variant) or {}):
        end(of, job)
    Conductor(of, shares(1), lambda: None).run()
    (failure,) = of.failures.values()
    assert "EvenCell: features must be even" in failure.reason
    assert not of.due()


def test_each_row_has_the_parameters_of_the_first_that_ever_was(tmp_path: Path) -> None:
    first = ledger(tmp_path, "model.cell=lstm,gru", hidden_size=32, compute="equal")
    find_sizes(first)
    first.save()
    later = ledger(tmp_path, "model.cell=rnn,gru,lstm", hidden_size=32, compute="equal")
    find_sizes(later)
    configs = [later.config(values) for values in later.comparison.variants]
    assert configs[2].model.hidden_size == 32  # of the first one, as set
    wanted = num_parameters(configs[2])
    for config in configs:
        assert num_parameters(config) == pytest.approx(wanted, rel=0.05)


def test_what_a_kill_or_another_version_leaves_is_no_other_comparison(tmp_path: Path) -> None:
    (tmp_path / "plan.tmp").write_text("{")
    of = ledger(tmp_path, "model.cell=rnn")
    of.save()
    config = dataclasses.replace(smoke.get_config(), log_every_steps=7)
    config.model.hidden_size, config.data.on_device = 8, False  # on which no figure depends
    assert Ledger(plan.make(tmp_path, config, ["model.cell=rnn"], num_seeds=5)).due()
