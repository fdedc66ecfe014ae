"""Why a NaN stops a run: config.on_nan, and the limit of the steps that it leaves out."""

import math
from collections.abc import Mapping

from rnnjax.errors import NonFiniteError


def check_finite(figures: Mapping[str, float], step: int) -> None:
    """Raises a NonFiniteError if a figure up to `step` is NaN or infinite."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{name} became {value} at or shortly before step {step}")


def check_skipped(skipped: int, limit: int, step: int) -> None:
    """Raises a NonFiniteError if more steps were skipped than the limit allows."""
    if skipped > limit:
        raise NonFiniteError(
            f"{skipped} steps up to {step} had a loss or gradient that was not finite, more than "
            f"config.max_skipped_steps={limit}",
            skipping_helps=False,
        )
