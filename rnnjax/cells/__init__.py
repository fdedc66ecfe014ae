"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

from rnnjax.cells.base import Cell
from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell
from rnnjax.cells.coupled import CoupledLSTMCarry, CoupledLSTMCell
from rnnjax.cells.dropout import DropoutCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.layer_norm import (
    LayerNormGRUCarry,
    LayerNormGRUCell,
    LayerNormLSTMCarry,
    LayerNormLSTMCell,
)
from rnnjax.cells.lstm import LSTMCarry, LSTMCell
from rnnjax.cells.slstm import SLSTMCarry, SLSTMCell
from rnnjax.cells.weight_norm import WeightNormLSTMCarry, WeightNormLSTMCell

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "coupled_lstm": CoupledLSTMCell,
    "layer_norm_lstm": LayerNormLSTMCell,
    "layer_norm_gru": LayerNormGRUCell,
    "weight_norm_lstm": WeightNormLSTMCell,
    "slstm": SLSTMCell,
}

__all__ = [
    "CELLS",
    "BasicRNNCarry",
    "BasicRNNCell",
    "Cell",
    "CoupledLSTMCarry",
    "CoupledLSTMCell",
    "DropoutCell",
    "GRUCarry",
    "GRUCell",
    "LSTMCarry",
    "LSTMCell",
    "LayerNormGRUCarry",
    "LayerNormGRUCell",
    "LayerNormLSTMCarry",
    "LayerNormLSTMCell",
    "SLSTMCarry",
    "SLSTMCell",
    "WeightNormLSTMCarry",
    "WeightNormLSTMCell",
]
