"""The end of a run, as in its result.json."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from rnnjax.system.files import write_json

NAME = "result.json"


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


def write(workdir: Path, result: Result) -> None:
    """Writes the result of a run into its workdir."""
    write_json(workdir / NAME, result._asdict())


def read(workdir: Path) -> Result | None:
    """Returns the result of a finished run; None if the workdir has none that can be read."""
    try:
        result = Result(**json.loads((workdir / NAME).read_text()))
        figures = (result.test_accuracy, result.test_loss, result.seconds)
        return result if type(result.steps) is int and math.isfinite(sum(figures)) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None
