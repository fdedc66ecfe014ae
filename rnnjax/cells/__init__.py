"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

from rnnjax.cells.attention import AttentionCarry, AttentionCell
from rnnjax.cells.base import Cell
from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell
from rnnjax.cells.dropout import DropoutCell, ZoneoutCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.learned_carry import LearnedCarry, LearnedCarryCell
from rnnjax.cells.lstm import LSTMCarry, LSTMCell
from rnnjax.cells.wrapper import HighwayCell, ResidualCell, Wrapper

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
}

__all__ = [
    "CELLS",
    "AttentionCarry",
    "AttentionCell",
    "BasicRNNCarry",
    "BasicRNNCell",
    "Cell",
    "DropoutCell",
    "GRUCarry",
    "GRUCell",
    "HighwayCell",
    "LSTMCarry",
    "LSTMCell",
    "LearnedCarry",
    "LearnedCarryCell",
    "ResidualCell",
    "Wrapper",
    "ZoneoutCell",
]
