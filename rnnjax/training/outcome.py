"""What a run has come to, from its last evaluations."""

import math
from collections.abc import Mapping, Sequence

from rnnjax.config import Config
from rnnjax.runs.result import Result, SeedResult
from rnnjax.seeds import seeds_of
from rnnjax.training.evaluation import Evaluation

Evaluations = Mapping[str, Mapping[int, Evaluation]]  # by split, then by seed that goes on


def mean_accuracy(evaluations: Evaluations, split: str) -> float | None:
    """Returns the mean over the seeds; None if the split was not evaluated."""
    by_seed = evaluations.get(split)
    return _mean([of_seed.accuracy for of_seed in by_seed.values()]) if by_seed else None


def result_of(
    config: Config, evaluations: Evaluations, failed: Mapping[str, str], seconds: float
) -> Result:
    """Returns the result of a run.

    Args:
      config: its settings.
      evaluations: after its last step.
      failed: by seed, as a text: why it failed.
      seconds: that the run took.
    """
    test, validation = evaluations["test"], evaluations.get("validation", {})
    by_seed = [
        SeedResult(
            seed,
            test[seed].accuracy,
            test[seed].loss,
            validation[seed].accuracy if seed in validation else None,
        )
        if seed in test
        else SeedResult(seed, failure=failed[str(seed)])
        for seed in seeds_of(config)
    ]
    return Result(
        test_accuracy=_mean([of_seed.accuracy for of_seed in test.values()]),
        test_loss=_mean([of_seed.loss for of_seed in test.values()]),
        steps=config.num_steps,
        seconds=seconds,
        dataset=config.data.name,
        seed=config.seed,
        validation_accuracy=mean_accuracy(evaluations, "validation"),
        by_seed=tuple(by_seed) if len(by_seed) > 1 else (),
    )


def figures_of(evaluations: Evaluations, seed: int) -> dict[str, float]:
    """Returns the accuracy and the loss of a seed on each split, such as `test_loss`."""
    return {
        f"{split}_{name}": getattr(by_seed[seed], name)
        for split, by_seed in evaluations.items()
        for name in ("accuracy", "loss")
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
