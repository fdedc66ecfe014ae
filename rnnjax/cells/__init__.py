"""Recurrent cells: pure step functions, and flax modules around them.

To add one: a file of its own (`lstm.py` is the pattern), a line in `CELLS`, and its published
equations in `tests/references/`; the tests then walk over it like over the others.
"""

import flax.linen as nn

from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell, BasicRNNParams, basic_rnn_step
from rnnjax.cells.dropout import DropoutCell
from rnnjax.cells.gru import GRUCarry, GRUCell, GRUParams, gru_step
from rnnjax.cells.lstm import LSTMCarry, LSTMCell, LSTMParams, lstm_step

# Configs name a cell by its key here.
CELLS: dict[str, type[nn.RNNCellBase]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
}

__all__ = [
    "CELLS",
    "BasicRNNCarry",
    "BasicRNNCell",
    "BasicRNNParams",
    "DropoutCell",
    "GRUCarry",
    "GRUCell",
    "GRUParams",
    "LSTMCarry",
    "LSTMCell",
    "LSTMParams",
    "basic_rnn_step",
    "gru_step",
    "lstm_step",
]
