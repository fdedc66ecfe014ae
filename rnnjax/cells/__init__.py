"""Recurrent cells: pure functions, and flax modules around them.

To add one: a file of its own (`basic.py` is the shortest pattern), a line in `CELLS`, and its
published equations in `tests/references/`; the tests then walk over it like over the others.
"""

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
from rnnjax.cells.coupled import CoupledLSTMCarry, CoupledLSTMCell
from rnnjax.cells.glstm import GLSTMCarry, GLSTMCell
from rnnjax.cells.grid_lstm import GridLSTMCarry, GridLSTMCell
from rnnjax.cells.gru import GRUCarry, GRUCell
from rnnjax.cells.independent import (
    IndRNNCarry,
    IndRNNCell,
    IndyGRUCarry,
    IndyGRUCell,
    IndyLSTMCarry,
    IndyLSTMCell,
)
from rnnjax.cells.layer_norm import (
    LayerNormGRUCarry,
    LayerNormGRUCell,
    LayerNormLSTMCarry,
    LayerNormLSTMCell,
)
from rnnjax.cells.lstm import LSTMCarry, LSTMCell, forget_gate_bias
from rnnjax.cells.mgu import MGUCarry, MGUCell
from rnnjax.cells.min_rnn import MinGRUCarry, MinGRUCell, MinLSTMCarry, MinLSTMCell
from rnnjax.cells.minimal_rnn import MinimalRNNCarry, MinimalRNNCell
from rnnjax.cells.nas import NASCarry, NASCell
from rnnjax.cells.phased_lstm import PhasedLSTMCarry, PhasedLSTMCell
from rnnjax.cells.qrnn import QRNNCarry, QRNNCell
from rnnjax.cells.slstm import SLSTMCarry, SLSTMCell
from rnnjax.cells.sru import SRUCarry, SRUCell
from rnnjax.cells.ugrnn import IntersectionRNNCarry, IntersectionRNNCell, UGRNNCarry, UGRNNCell
from rnnjax.cells.weight_norm import WeightNormLSTMCarry, WeightNormLSTMCell
from rnnjax.cells.wrappers.attention import AttentionCarry, AttentionCell
from rnnjax.cells.wrappers.base import Wrapper
from rnnjax.cells.wrappers.dropout import DropoutCell
from rnnjax.cells.wrappers.highway import HighwayCell
from rnnjax.cells.wrappers.learned_carry import LearnedCarry, LearnedCarryCell
from rnnjax.cells.wrappers.residual import ResidualCell
from rnnjax.cells.wrappers.zoneout import ZoneoutCell

# Configs name a cell by its key here.
CELLS: dict[str, type[Cell]] = {
    "rnn": BasicRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "coupled_lstm": CoupledLSTMCell,
    "layer_norm_lstm": LayerNormLSTMCell,
    "layer_norm_gru": LayerNormGRUCell,
    "weight_norm_lstm": WeightNormLSTMCell,
    "mgu": MGUCell,
    "ugrnn": UGRNNCell,
    "intersection_rnn": IntersectionRNNCell,
    "nas": NASCell,
    "minimal_rnn": MinimalRNNCell,
    "cfn": CFNCell,
    "phased_lstm": PhasedLSTMCell,
    "sru": SRUCell,
    "qrnn": QRNNCell,
    "indrnn": IndRNNCell,
    "indy_lstm": IndyLSTMCell,
    "indy_gru": IndyGRUCell,
    "glstm": GLSTMCell,
    "conv_lstm_1d": ConvLSTM1DCell,
    "conv_lstm_2d": ConvLSTM2DCell,
    "conv_lstm_3d": ConvLSTM3DCell,
    "grid_lstm": GridLSTMCell,
    "min_gru": MinGRUCell,
    "min_lstm": MinLSTMCell,
    "slstm": SLSTMCell,
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
    "CoupledLSTMCarry",
    "CoupledLSTMCell",
    "DropoutCell",
    "GLSTMCarry",
    "GLSTMCell",
    "GRUCarry",
    "GRUCell",
    "GridLSTMCarry",
    "GridLSTMCell",
    "HighwayCell",
    "IndRNNCarry",
    "IndRNNCell",
    "IndyGRUCarry",
    "IndyGRUCell",
    "IndyLSTMCarry",
    "IndyLSTMCell",
    "IntersectionRNNCarry",
    "IntersectionRNNCell",
    "LSTMCarry",
    "LSTMCell",
    "LayerNormGRUCarry",
    "LayerNormGRUCell",
    "LayerNormLSTMCarry",
    "LayerNormLSTMCell",
    "LearnedCarry",
    "LearnedCarryCell",
    "MGUCarry",
    "MGUCell",
    "MinGRUCarry",
    "MinGRUCell",
    "MinLSTMCarry",
    "MinLSTMCell",
    "MinimalRNNCarry",
    "MinimalRNNCell",
    "NASCarry",
    "NASCell",
    "PhasedLSTMCarry",
    "PhasedLSTMCell",
    "QRNNCarry",
    "QRNNCell",
    "ResidualCell",
    "SLSTMCarry",
    "SLSTMCell",
    "SRUCarry",
    "SRUCell",
    "UGRNNCarry",
    "UGRNNCell",
    "WeightNormLSTMCarry",
    "WeightNormLSTMCell",
    "Wrapper",
    "ZoneoutCell",
    "forget_gate_bias",
]
