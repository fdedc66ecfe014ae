"""What a comparison does with measured speeds; tests/training/test_speed.py measures real ones."""

from pathlib import Path

import pytest

from experiments import smoke
from rnnjax.comparing import measuring, plan
from rnnjax.comparing.describe import describe_rest
from rnnjax.comparing.ledger import Ledger
from rnnjax.config import Config
from rnnjax.data.datasets import Dataset
from rnnjax.training.speed import Speed

START, EVALUATION = 20.0, 3.0  # seconds
SECONDS_PER_UNIT = {"rnn": 0.02, "indrnn": 0.01}  # of a step


def made_up(config: Config, dataset: Dataset) -> Speed:
    """Takes the place of a measurement, which is not the same twice."""
    assert len(dataset.train.labels) == 15_000
    assert config.seeds == 2
    step = SECONDS_PER_UNIT[config.model.cell] * config.model.hidden_size
    return Speed(START, step, EVALUATION)


def test_rows_of_equal_time_are_measured_once_and_tell_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "measure", made_up)
    config = smoke.get_config()  # 300 steps, of which each hundredth is evaluated
    config.model.hidden_size = 16

    def ledger(*cells: str) -> Ledger:
        vary = [f"model.cell={','.join(cells)}"]
        return Ledger(plan.make(tmp_path, config, vary, num_seeds=2, compute="equal-seconds"))

    of = ledger("rnn", "indrnn")
    first, other = of.comparison.variants
    assert measuring.missing(of) == [first, other]
    assert describe_rest(of) == "1,200 of 1,200 steps are left"
    measuring.measure_missing(of)

    again = ledger("rnn", "indrnn")  # as another process finds it
    assert not measuring.missing(again)
    assert again.config(first).model.hidden_size == 16
    assert again.config(other).model.hidden_size == 32
    seconds = 4 * (300 * 0.32 + 3 * EVALUATION) + 2 * (measuring.PROCESS_SECONDS + START)
    assert measuring.estimate(again) == pytest.approx(seconds)
    assert describe_rest(again) == "1,200 of 1,200 steps are left, about 8 min"

    turned = ledger("indrnn", "rnn")
    assert turned.target == again.target
    assert turned.sizes == again.sizes
