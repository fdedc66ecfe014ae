"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

from rnnjax.cells.attention import AttentionCarry, AttentionCell
from rnnjax.cells.base import Cell
from rnnjax.cells.basic import BasicRNNCarry, BasicRNNCell
from rnnjax.cells.cfn import CFNCarry, CFNCell
from rnnjax.cells.conv_lstm import (
    ConvLSTM1DCarry,
    ConvLSTM1DCell,
    ConvLSTM2DCarry,
    ConvLSTM2DCell,
    ConvLSTM3DCarry,
    ConvLSTM3DCell,
    ConvLSTMCell,
)
from rnnjax.cells.dropout import DropoutCell, ZoneoutCell
from rnnjax.cells.glstm import GLSTMCarry, GLSTMCell
from rnnjax.cells.grid_lstm import GridLSTMCarry, GridLSTMCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.learned_carry import LearnedCarry, LearnedCarryCell
from rnnjax.cells.lstm import LSTMCarry, LSTMCell
from rnnjax.cells.mgu import MGUCarry, MGUCell
from rnnjax.cells.minimal_rnn import MinimalRNNCarry, MinimalRNNCell
from rnnjax.cells.nas import NASCarry, NASCell
from rnnjax.cells.ugrnn import IntersectionRNNCarry, IntersectionRNNCell, UGRNNCarry, UGRNNCell
from rnnjax.cells.wrapper import HighwayCell, ResidualCell, Wrapper

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "mgu": MGUCell,
    "ugrnn": UGRNNCell,
    "intersection_rnn": IntersectionRNNCell,
    "nas": NASCell,
    "minimal_rnn": MinimalRNNCell,
    "cfn": CFNCell,
    "glstm": GLSTMCell,
    "conv_lstm_1d": ConvLSTM1DCell,
    "conv_lstm_2d": ConvLSTM2DCell,
    "conv_lstm_3d": ConvLSTM3DCell,
    "grid_lstm": GridLSTMCell,
}

__all__ = [
    "CELLS",
    "AttentionCarry",
    "AttentionCell",
    "BasicRNNCarry",
    "BasicRNNCell",
    "CFNCarry",
    "CFNCell",
    "Cell",
    "ConvLSTM1DCarry",
    "ConvLSTM1DCell",
    "ConvLSTM2DCarry",
    "ConvLSTM2DCell",
    "ConvLSTM3DCarry",
    "ConvLSTM3DCell",
    "ConvLSTMCell",
    "DropoutCell",
    "GLSTMCarry",
    "GLSTMCell",
    "GRUCarry",
    "GRUCell",
    "GridLSTMCarry",
    "GridLSTMCell",
    "HighwayCell",
    "IntersectionRNNCarry",
    "IntersectionRNNCell",
    "LSTMCarry",
    "LSTMCell",
    "LearnedCarry",
    "LearnedCarryCell",
    "MGUCarry",
    "MGUCell",
    "MinimalRNNCarry",
    "MinimalRNNCell",
    "NASCarry",
    "NASCell",
    "ResidualCell",
    "UGRNNCarry",
    "UGRNNCell",
    "Wrapper",
    "ZoneoutCell",
]
