"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

from rnnjax.cells.base import Cell
from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell
from rnnjax.cells.dropout import DropoutCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.independent import (
    IndRNNCarry,
    IndRNNCell,
    IndyGRUCarry,
    IndyGRUCell,
    IndyLSTMCarry,
    IndyLSTMCell,
)
from rnnjax.cells.lstm import LSTMCarry, LSTMCell
from rnnjax.cells.min_rnn import MinGRUCarry, MinGRUCell, MinLSTMCarry, MinLSTMCell
from rnnjax.cells.phased_lstm import PhasedLSTMCarry, PhasedLSTMCell
from rnnjax.cells.qrnn import QRNNCarry, QRNNCell
from rnnjax.cells.sru import SRUCarry, SRUCell

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "phased_lstm": PhasedLSTMCell,
    "sru": SRUCell,
    "qrnn": QRNNCell,
    "indrnn": IndRNNCell,
    "indy_lstm": IndyLSTMCell,
    "indy_gru": IndyGRUCell,
    "min_gru": MinGRUCell,
    "min_lstm": MinLSTMCell,
}

__all__ = [
    "CELLS",
    "BasicRNNCarry",
    "BasicRNNCell",
    "Cell",
    "DropoutCell",
    "GRUCarry",
    "GRUCell",
    "IndRNNCarry",
    "IndRNNCell",
    "IndyGRUCarry",
    "IndyGRUCell",
    "IndyLSTMCarry",
    "IndyLSTMCell",
    "LSTMCarry",
    "LSTMCell",
    "MinGRUCarry",
    "MinGRUCell",
    "MinLSTMCarry",
    "MinLSTMCell",
    "PhasedLSTMCarry",
    "PhasedLSTMCell",
    "QRNNCarry",
    "QRNNCell",
    "SRUCarry",
    "SRUCell",
]
