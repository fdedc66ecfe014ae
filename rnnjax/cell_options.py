"""Which fields of a cell `config.model.cell_options` may set, and to what."""

import dataclasses
import math
import typing
from typing import Any

import flax.linen as nn

from rnnjax.config import ModelConfig
from rnnjax.errors import ConfigError, did_you_mean

# For each type of a cell's field that a config can set: the types that its values may have.
_SETTABLE: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    int | None: (int, type(None)),
    float: (int, float),
    float | None: (int, float, type(None)),
    str: (str,),
    tuple[int, ...]: (tuple, list),
}


def checked_options(config: ModelConfig, cell: type[nn.RNNCellBase]) -> dict[str, Any]:
    """Returns the options of a model's cell, lists as tuples.

    Raises:
      ConfigError: for an option that the cell does not have, or a value of a wrong type.
    """
    options = {k: tuple(v) if type(v) is list else v for k, v in config.cell_options.items()}
    known = _settable_options(cell)
    for name, value in options.items():
        if name not in known or not isinstance(name, str):
            raise ConfigError(
                f"config.model.cell_options: {config.cell!r} has no option {name!r}; "
                f"{did_you_mean(str(name), known)}"
            )
        items = value if isinstance(value, tuple) else (value,)
        is_wrong = isinstance(value, tuple) and not all(type(item) is int for item in items)
        is_wrong |= any(isinstance(item, float) and not math.isfinite(item) for item in items)
        if type(value) not in known[name] or is_wrong:
            wanted = " or ".join(sorted({kind.__name__ for kind in known[name]}))
            raise ConfigError(
                f"config.model.cell_options: {name!r} must be {wanted}, of finite numbers, got "
                f"{value!r}"
            )
    return options


def _settable_options(cell: type[nn.RNNCellBase]) -> dict[str, tuple[type, ...]]:
    """Returns {name: types of its value} of a cell's own numbers and switches."""
    hints = typing.get_type_hints(cell)
    return {
        field.name: _SETTABLE[hints[field.name]]
        for field in dataclasses.fields(cell)
        if hints[field.name] in _SETTABLE and field.name != "features"
    }
