"""What is due after a step: training figures, an evaluation, a checkpoint."""

from typing import NamedTuple

from rnnjax.config import Config


class Due(NamedTuple):
    log: bool  # training figures
    evaluate: bool  # on all test and held-out images
    save: bool  # a checkpoint


def due(step: int, config: Config) -> Due:
    """Returns what is due once so many steps are taken: before the first nothing, at the end all.

    Args:
      step: the steps taken.
      config: how often each is wanted.
    """

    def every(interval: int) -> bool:
        return step == config.num_steps or (step > 0 and step % interval == 0)

    return Due(
        log=every(config.log_every_steps),
        evaluate=every(config.eval_every_steps),
        save=every(config.checkpoint.every_steps),
    )
