"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

from rnnjax.cells.base import Cell
from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell
from rnnjax.cells.dropout import DropoutCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.lstm import LSTMCarry, LSTMCell

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
}

__all__ = [
    "CELLS",
    "BasicRNNCarry",
    "BasicRNNCell",
    "Cell",
    "DropoutCell",
    "GRUCarry",
    "GRUCell",
    "LSTMCarry",
    "LSTMCell",
]
