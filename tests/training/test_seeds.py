"""Several seeds at once are the runs that each of them would be alone."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax.config import Config, DataConfig
from rnnjax.errors import ConfigError
from rnnjax.reporting.summaries import OF_EACH_START
from rnnjax.runs.result import Result
from rnnjax.training import step
from rnnjax.training.gather import read_runs
from rnnjax.training.train import train
from rnnjax.training.trained import read_trained
from tests.cases import assert_close, assert_equal
from tests.faults.outcome import SPLITS, summaries
from tests.reporting.test_hparams import figures, session_groups
from tests.training.runs import with_everything

SEEDS = 3
# Later ones have an XLA that rounds the arithmetic of a loop otherwise than that outside of one.
TO_THE_BIT = jax.__version_info__ < (0, 11)


def small(**fields: Any) -> Config:
    config = Config(num_steps=6, log_every_steps=3, eval_every_steps=3, batch_size=32, **fields)
    config.data = DataConfig("garments", validation_size=100)
    config.model.hidden_size = 4
    config.model.state_keep_prob = 0.7
    with_everything(config)
    config.checkpoint.every_steps = 3
    return config


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Result]]:
    """A run of each seed."""
    folder = tmp_path_factory.mktemp("alone")
    return [
        (folder / f"{seed}", train(small(seed=seed), folder / f"{seed}")) for seed in range(SEEDS)
    ]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run of all seeds, interrupted; in its second part, images are streamed."""
    workdir = tmp_path_factory.mktemp("together") / "run"
    train(dataclasses.replace(small(seeds=SEEDS), num_steps=3), workdir)
    config = small(seeds=SEEDS)
    config.data.on_device = False
    return workdir, train(config, workdir)


def test_each_seed_ends_with_the_bits_of_a_run_alone(
    alone: list[tuple[Path, Result]], together: tuple[Path, Result]
) -> None:
    """On four devices, with dropout, augmentation, averages, an interruption: all, to summaries."""
    workdir, result = together
    assert [of_seed.seed for of_seed in result.by_seed] == [0, 1, 2]
    for seed, (own, expected) in enumerate(alone):
        actual = result.by_seed[seed]
        ours, theirs = read_trained(workdir, seed=seed), read_trained(own)
        assert_close(ours.params, theirs.params, 1e-6)
        assert actual.test_loss == pytest.approx(expected.test_loss, rel=1e-6)
        assert ours.config.seed == theirs.config.seed == seed
        assert ours.config.seeds == 1
        if not TO_THE_BIT:
            continue
        assert_equal(ours.params, theirs.params)
        assert actual.test_loss == expected.test_loss
        assert actual.test_accuracy == expected.test_accuracy
        assert actual.validation_accuracy == expected.validation_accuracy
        assert shown(ours.summaries) == shown(theirs.summaries)
    accuracies = [of_seed.test_accuracy or 0 for of_seed in result.by_seed]
    assert result.test_accuracy == pytest.approx(float(np.mean(accuracies)), rel=1e-12)
    assert len({*accuracies}) > 1


def test_hparams_takes_seeds_alone_and_together_for_one_row(
    alone: list[tuple[Path, Result]], together: tuple[Path, Result]
) -> None:
    """Even of a run that was interrupted and went on with other settings of no effect."""
    (row,) = session_groups(alone[0][0].parent, together[0].parent)
    assert len(row.sessions) == 2 * SEEDS
    of_seeds = [of_seed.test_accuracy or 0 for of_seed in together[1].by_seed]
    assert figures(row)["final/test_accuracy"] == pytest.approx(np.mean(of_seeds), rel=1e-6)


def shown(folder: Path) -> list[Any]:
    """Returns all that the summaries show, but for what each start of a run writes anew."""
    return [
        summary
        for split in SPLITS
        for summary in summaries(folder / split)
        if not summary[1].startswith(OF_EACH_START)
    ]


def test_a_seed_that_is_none(together: tuple[Path, Result]) -> None:
    workdir, result = together
    assert train(small(seeds=SEEDS), workdir) == result  # it has finished
    with pytest.raises(ConfigError, match=r"--seed=3: .* has the seeds 0 to 2"):
        read_trained(workdir, seed=3)
    assert [run.config.seed for run in read_runs([workdir])] == [0, 1, 2]
    assert [run.config.seed for run in read_runs([workdir], seed=1)] == [1]
    with pytest.raises(ConfigError, match=r"config\.seeds was 3 and is now 2"):
        train(small(seeds=2), workdir)


def test_a_seed_that_fails_leaves_the_others_alone(
    tmp_path: Path,
    alone: list[tuple[Path, Result]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is told when it happens, after a resumption too, and in the end."""
    train_step = step.train_step
    bad = jax.random.key_data(jax.random.split(jax.random.key(1))[1])  # the masks of seed 1

    def poisoned(state: Any, batch: Any, key: Any, **options: Any) -> Any:
        state, hidden = train_step(state, batch, key, **options)
        is_bad = (jax.random.key_data(key) == bad).all() & (state.step >= 2)
        params = jax.tree.map(lambda leaf: jax.numpy.where(is_bad, np.nan, leaf), state.params)
        return dataclasses.replace(state, params=params), hidden

    monkeypatch.setattr(step, "train_step", poisoned)
    train(dataclasses.replace(small(seeds=SEEDS), num_steps=3), tmp_path)
    assert "seed 1 failed, the others go on: " in capsys.readouterr().out
    result = train(small(seeds=SEEDS), tmp_path)
    assert "failed" not in capsys.readouterr().out  # a second time
    for seed, (_, expected) in enumerate(alone):
        of_seed = result.by_seed[seed]
        if seed == 1:
            assert of_seed.test_accuracy is None
            assert "NaN" in (of_seed.failure or "") or "nan" in (of_seed.failure or "")
        else:
            assert of_seed.test_loss == pytest.approx(expected.test_loss, rel=1e-6)
