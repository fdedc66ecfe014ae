"""Runs that go on: to the bit, reporting each thing once, and under their own settings only."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnjax.errors import ConfigError
from rnnjax.runs.checkpoint import Progress, read, read_metadata, write
from rnnjax.training.task import build_task
from rnnjax.training.train import train
from tests.training.runs import events, final_state, small, with_everything


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit by bit: parameters, optimiser, sums; with dropout, from the middle of an epoch."""
    config = with_everything(small())
    whole = train(config, tmp_path / "whole")
    interrupted = with_everything(small())
    interrupted.num_steps = 7  # not a multiple of anything
    train(interrupted, tmp_path / "parts")
    continued = train(config, tmp_path / "parts")
    assert continued._replace(seconds=0) == whole._replace(seconds=0)
    assert str(events(tmp_path / "parts" / "train")["settings"]).count("num_steps | `12`") == 1
    expected, actual = final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    assert expected.keys() == actual.keys()
    for name, leaf in expected.items():
        if "metrics" not in name:  # the first part reported its sums at its end, step 7
            np.testing.assert_array_equal(actual[name], leaf, err_msg=name)


def test_an_evaluation_that_is_made_again_is_reported_once(tmp_path: Path) -> None:
    """A run goes on from a step whose evaluation is due, and has its accuracy in the checkpoint."""
    config = small(steps=8)
    config.data.validation_size = 500
    train(config, tmp_path)
    before = events(tmp_path / "validation")["accuracy"]
    # As after a stop in the evaluation: saved, but not evaluated.
    newest = tmp_path / "checkpoints" / "8"
    stored = read(newest, build_task(config).create_state())
    assert stored.progress.validation_accuracy is not None
    shutil.rmtree(newest)
    write(newest, 8, stored.state, Progress(), stored.origin)
    (tmp_path / "result.json").unlink()
    train(config, tmp_path)
    accuracy = read_metadata(newest).progress.validation_accuracy
    assert accuracy == stored.progress.validation_accuracy
    for split in ("train", "test", "validation"):
        for tag, values in events(tmp_path / split).items():
            steps = [step for step, _ in values]
            assert steps == sorted(set(steps)), f"{split}/{tag}: {steps}"
    after = events(tmp_path / "validation")["accuracy"]
    assert [*map(str, after)] == [*map(str, before)]


def test_more_steps_go_on_with_a_finished_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small()
    config.num_steps = 4
    first = train(config, tmp_path)
    assert train(config, tmp_path) == first
    assert "has finished already" in capsys.readouterr().out
    config.num_steps = 6
    assert train(config, tmp_path).steps == 6
    assert "step 5 was done" in capsys.readouterr().out


def test_fewer_steps_than_there_are(tmp_path: Path) -> None:
    config = small()
    config.num_steps = 4
    train(config, tmp_path)
    (tmp_path / "result.json").unlink()
    config.num_steps = 2
    with pytest.raises(ConfigError, match=r"config\.num_steps=2, but .* has 4 steps already"):
        train(config, tmp_path)


def test_another_model_does_not_go_on_with_a_run(tmp_path: Path) -> None:
    config = small()
    config.num_steps = 2
    train(config, tmp_path)
    before = (tmp_path / "config.json").read_text()
    other = small()
    other.model.hidden_size = 16
    with pytest.raises(ConfigError, match=r"config\.model\.hidden_size was 8 and is now 16"):
        train(other, tmp_path)
    assert (tmp_path / "config.json").read_text() == before
