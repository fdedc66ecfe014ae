"""Why a NaN stops a run: config.on_nan, and the limit of the steps that it leaves out."""

import math
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import PyTree

from rnnjax.errors import NonFiniteError


def check_finite(figures: Mapping[str, float], step: int) -> None:
    """Raises a NonFiniteError if a figure up to `step` is NaN or infinite."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{name} became {value} at or shortly before step {step}")


def check_state(state: PyTree, step: int) -> None:
    """Raises a NonFiniteError if anything in a state on the host is NaN or infinite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not np.all(np.isfinite(leaf)):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            when = f"at or shortly before step {step}, which is not saved"
            raise NonFiniteError(f"{name} became NaN or infinite {when}")


def check_skipped(skipped: int, limit: int, step: int) -> None:
    """Raises a NonFiniteError if more steps were skipped than the limit allows."""
    if skipped > limit:
        raise NonFiniteError(
            f"{skipped} steps up to {step} had a loss or gradient that was not finite, more than "
            f"config.max_skipped_steps={limit}",
            skipping_helps=False,
        )
