"""Does a cell of the user's own hold to what every cell does? Asked before it is trained."""

from typing import Any

from rnnjax.cell_source import cell_class, is_own
from rnnjax.cells.conv_lstm import fold
from rnnjax.classifier import Classifier
from rnnjax.errors import ConfigError, say_where
from rnnjax.recurrent.cell_check import check_cell


def check_own_cell(model: Classifier, num_features: int) -> None:
    """Tries an own cell on a few random numbers; of a registered one, the tests do that.

    Args:
      model: whose cell it is, with its options.
      num_features: F, of a step.

    Raises:
      ConfigError: naming the first thing that it does not hold to.
    """
    if not is_own(model.cell):
        return
    cell: Any = cell_class(model.cell)(model.hidden_size, **model.cell_options)
    space = fold(num_features, cell.num_feature_axes - 1)
    try:
        for check in check_cell(cell, (*space, 1) if space else (num_features,)):
            if check.problem:
                raise ConfigError(
                    f"config.model.cell={model.cell!r}: not so: {check.name}: {check.problem}"
                )
    except ConfigError:
        raise
    except Exception as error:  # whatever the cell, which is code, may raise
        raise ConfigError(say_where(type(cell).__name__, error)) from error
