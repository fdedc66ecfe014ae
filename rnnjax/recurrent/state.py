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
    """What `unroll` does with a step beside the cell's own; of one step, without the time."""

    valid: Bool[Array, "T B"] | None  # whether it counts; None: all do
    restarts: Bool[Array, "T B"] | None  # whether the next one has the first carry; None: none has


class Steps(NamedTuple):
    """What the scan walks over; of one step, without the time."""

    inputs: Shaped[Array, "T B *F"]
    flags: Flags
