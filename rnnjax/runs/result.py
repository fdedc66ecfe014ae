"""The end of a run, as in its result.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.runs import sealed
from rnnjax.runs.sealed import DamagedFileError

NAME, RUN = "result.json", "run"


class Result(NamedTuple):
    """What a run has come to."""

    test_accuracy: float  # share of all test images, in [0, 1]
    test_loss: float  # mean cross-entropy over all test images, nats
    steps: int
    seconds: float  # spent in the processes that took these steps, start-up and evaluation included
    dataset: str
    seed: int
    validation_accuracy: float | None = None  # None if nothing was held out

    def __str__(self) -> str:
        return (
            f"test accuracy {self.test_accuracy:.4f}, loss {self.test_loss:.4f} after "
            f"{self.steps} steps on {self.dataset} in {self.seconds:.0f} s"
        )


def write(workdir: Path, result: Result, run: str) -> None:
    """Writes the result of a run, of this identity, into its workdir."""
    sealed.write(workdir / NAME, {**result._asdict(), RUN: run})


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
        result = Result(**stored)
        sealed.number(result.test_accuracy, at_most=1)
        sealed.number(result.validation_accuracy or 0, at_most=1)
        sealed.number(result.test_loss)
        sealed.number(result.seconds)
        sealed.count(result.steps)
        sealed.count(result.seed)
        str.encode(result.dataset)
    except sealed.SHAPE_ERRORS as error:
        raise DamagedFileError(f"{NAME} says what cannot be") from error
    return result
