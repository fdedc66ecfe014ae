"""What is due after which step."""

from rnnjax.config import CheckpointConfig, Config
from rnnjax.training.due import Due, due

CONFIG = Config(
    num_steps=31,
    log_every_steps=2,
    eval_every_steps=6,
    checkpoint=CheckpointConfig(every_steps=5),
)


def test_nothing_is_due_before_the_first_step() -> None:
    assert due(0, CONFIG) == Due(log=False, evaluate=False, save=False)


def test_everything_is_due_at_the_end() -> None:
    assert due(31, CONFIG) == Due(log=True, evaluate=True, save=True)


def test_each_interval_counts_alone() -> None:
    steps = range(1, 31)
    assert [step for step in steps if due(step, CONFIG).log] == list(range(2, 31, 2))
    assert [step for step in steps if due(step, CONFIG).evaluate] == [6, 12, 18, 24, 30]
    assert [step for step in steps if due(step, CONFIG).save] == [5, 10, 15, 20, 25, 30]
