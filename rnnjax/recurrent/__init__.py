"""A cell over time: unrolled, stacked, in both directions."""

from rnnjax.recurrent.bidirectional import (
    Bidirectional,
    BidirectionalCarry,
    StackedBidirectional,
)
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import Unrolled, unroll

__all__ = [
    "Bidirectional",
    "BidirectionalCarry",
    "Stack",
    "StackedBidirectional",
    "Unrolled",
    "unroll",
]
