"""JSON files of a workdir that tell whether they are as they were written."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnjax.system import files

SEAL = "sha256"  # of all else in the file


# What reading JSON of another shape than expected may raise.
SHAPE_ERRORS = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(RecursionError, ArithmeticError),
)


class DamagedFileError(ValueError):
    """A file is not as it was written, or says what cannot be."""


def write(path: Path, value: Mapping[str, object]) -> None:
    """Replaces a file by a JSON object with a seal, which is on the disk when this returns.

    Raises:
      OSError: if it cannot be written; the old file is as it was.
    """
    files.write_json(path, {**value, SEAL: _digest(value)})


def read(path: Path) -> dict[str, Any]:
    """Returns what `write` was given.

    Raises:
      DamagedFileError: if the file is not as `write` has written it.
      OSError: if it cannot be read.
    """
    try:
        stored = json.loads(files.read_bytes(path))
        intact = stored.pop(SEAL) == _digest(stored)
    except SHAPE_ERRORS as error:
        raise DamagedFileError(f"{path} holds no JSON object with a seal") from error
    if not intact:
        raise DamagedFileError(f"{path} is not as it was written")
    return stored


def number(value: object, at_least: float = 0, at_most: float = math.inf) -> float:
    """Returns a stored figure; raises a ValueError if it is no finite number within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    if not math.isfinite(value) or not at_least <= value <= at_most:
        raise ValueError(f"{value!r} is not from {at_least} to {at_most}")
    return float(value)


def count(value: object) -> int:
    """Returns a stored whole number from 0 on; raises a ValueError if it is none."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no whole number from 0 on")
    return value


def _digest(value: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
