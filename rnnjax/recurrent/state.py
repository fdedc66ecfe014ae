"""What a scan over time carries, and what it walks over."""

from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Shaped

from rnnjax.cells.types import Carry

Results: TypeAlias = Any  # of a step: its output and its carry, each None if it is not asked for


class State(NamedTuple):
    """What the scan carries."""

    carry: Carry  # the cell's, leaves [B, ...]
    last: Shaped[Array, "B ..."] | None  # the output of the last step that counted; None: unused


class Steps(NamedTuple):
    """What the scan walks over; of one step, without the time."""

    inputs: Shaped[Array, "T B *F"]
    valid: Bool[Array, "T B"] | None  # whether a step counts; None: all do
