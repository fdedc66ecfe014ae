"""What a scan over time carries, and what it walks over."""

from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Shaped

from rnnjax.cells.types import Carry

Results: TypeAlias = Any  # of a step: its output and its carry, each None if it is not asked for


class State(NamedTuple):
    """What the scan carries."""

    carry: Carry  # the cell's, leaves [B, ...]
    last: Shaped[Array, "B ..."] | None  # the output of the last step that counted; None: unused
    start: Carry | None  # what the carry is again after a restart; None: there are none


class Flags(NamedTuple):
    """What `unroll` does with a step beside the cell's own; of one step, without the time.

    Attributes:
      valid: whether the step counts; None: all do.
      restarts: whether the step after it, in the order they are taken, begins a new sequence, so
        that the carry in between is the initial one again; None: none does.
    """

    valid: Bool[Array, "T B"] | None
    restarts: Bool[Array, "T B"] | None


class Steps(NamedTuple):
    """What the scan walks over; of one step, without the time."""

    inputs: Shaped[Array, "T B *F"]
    flags: Flags
