"""The end of a run, as in its result.json."""

from collections.abc import Mapping
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

from rnnjax.runs import sealed
from rnnjax.runs.sealed import DamagedFileError

NAME, RUN = "result.json", "run"


class SeedResult(NamedTuple):
    """What one seed of several has come to."""

    seed: int
    test_accuracy: float | None = None  # None: it failed, and the others went on
    test_loss: float | None = None
    validation_accuracy: float | None = None
    failure: str | None = None  # why it failed


class Result(NamedTuple):
    """What a run has come to; figures of several seeds are means over those that did not fail."""

    test_accuracy: float  # share of all test images, in [0, 1]
    test_loss: float  # mean cross-entropy over all test images, nats
    steps: int
    seconds: float  # spent in the processes that took these steps, start-up and evaluation included
    dataset: str
    seed: int  # the first
    validation_accuracy: float | None = None  # None if nothing was held out
    by_seed: tuple[SeedResult, ...] = ()  # of several seeds

    def __str__(self) -> str:
        accuracies = [of.test_accuracy for of in self.by_seed if of.test_accuracy is not None]
        spread = f" ± {stdev(accuracies):.4f}" if len(accuracies) > 1 else ""
        over = f" over {len(accuracies)} seeds" if self.by_seed else ""
        return (
            f"test accuracy {self.test_accuracy:.4f}{spread}{over}, loss {self.test_loss:.4f} "
            f"after {self.steps} steps on {self.dataset} in {self.seconds:.0f} s"
        )


def write(workdir: Path, result: Result, run: str) -> None:
    """Writes the result of a run, of this identity, into its workdir."""
    sealed.write(workdir / NAME, {**as_stored(result), RUN: run})


def as_stored(result: Result) -> dict[str, Any]:
    """Returns a result as JSON has it, which `parse` reads."""
    return result._asdict() | {"by_seed": [of_seed._asdict() for of_seed in result.by_seed]}


def read(workdir: Path, run: str) -> Result | None:
    """Returns the result of a finished run; None if the workdir has none.

    Args:
      workdir: where it is.
      run: the identity of the run that it must be of.

    Raises:
      DamagedFileError: if it is not as it was written, or another run's.
      OSError: if it cannot be read.
    """
    try:
        stored = sealed.read(workdir / NAME)
    except FileNotFoundError:
        return None
    if RUN not in stored:
        raise DamagedFileError(f"{workdir / NAME} was written by an earlier rnnjax")
    if stored.pop(RUN) != run:
        raise DamagedFileError(f"{workdir / NAME} is of another run")
    return parse(stored)


def parse(stored: Mapping[str, Any]) -> Result:
    """Returns a result from its fields; raises a DamagedFileError if they are no result."""
    try:
        by_seed = tuple(SeedResult(**of_seed) for of_seed in stored.get("by_seed", ()))
        result = Result(**stored)._replace(by_seed=by_seed)
        sealed.number(result.test_accuracy, at_most=1)
        sealed.number(result.validation_accuracy or 0, at_most=1)
        sealed.number(result.test_loss)
        sealed.number(result.seconds)
        sealed.count(result.steps)
        sealed.count(result.seed)
        str.encode(result.dataset)
        for of_seed in by_seed:
            sealed.count(of_seed.seed)
            sealed.number(of_seed.test_accuracy or 0, at_most=1)
            sealed.number(of_seed.test_loss or 0)
            sealed.number(of_seed.validation_accuracy or 0, at_most=1)
            str.encode(of_seed.failure or "")
    except sealed.SHAPE_ERRORS as error:
        raise DamagedFileError(f"{NAME} says what cannot be") from error
    return result
