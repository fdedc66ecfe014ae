"""What the values of settings become: the settings of a run, and a name that people call it.

Nothing heavy is imported here, so that a wrong argument is told at once.
"""

import re
from collections.abc import Mapping
from typing import Any

from rnnjax import stored_config
from rnnjax.config import Config, fields
from rnnjax.errors import ConfigError
from rnnjax.system.arguments import parse_option

CELL, OPTIONS = "model.cell", "model.cell_options"
# A cell may bring options of its own: `glstm+num_groups=4`.
WITH_OPTIONS = re.compile(r"(?P<cell>.+?)(?P<options>(?:\+[A-Za-z_]\w*=[^+]+)*)")
FIELDS = {name: field for name, field, _ in fields(Config())}
# What can be said of a value without the name of its setting.
TELLING = (CELL, "data.name")


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Returns a copy of the settings with other values of some.

    Args:
      config: the settings of all variants.
      values: by dotted name; `model.cell_options.NAME` leaves the cell's other options as they are.

    Raises:
      ConfigError: if a value does not fit the other settings.
    """
    settings = stored_config.to_dict(config)
    options = {**config.model.cell_options}
    for name, value in values.items():
        if name.startswith(f"{OPTIONS}."):
            options[name.removeprefix(f"{OPTIONS}.")] = value
        else:
            settings[name] = value
    if CELL in values:
        settings[CELL], own = split_options(values[CELL])
        options |= own
        if settings[CELL] != config.model.cell:
            settings["model.cell_sha256"] = ""  # that of the former cell
    return stored_config.from_dict({**settings, OPTIONS: options})


def split_options(text: str) -> tuple[str, dict[str, Any]]:
    """Returns a cell and its own options.

    >>> split_options("glstm+num_groups=4")
    ('glstm', {'num_groups': 4})
    """
    match = WITH_OPTIONS.fullmatch(text)
    if match is None:
        return text, {}
    options = [option.partition("=") for option in match["options"].split("+")[1:]]
    names = [name for name, _, _ in options]
    if len({*names}) < len(names):
        raise ConfigError(f"{text}: an option is given twice")
    return match["cell"], {name: parse_option(value) for name, _, value in options}


def variant_name(values: Mapping[str, Any]) -> str:
    """Returns what people call a variant.

    >>> variant_name({"model.cell": "/home/me/my_cells.py:Leaky", "optimizer.learning_rate": 3e-3})
    'my_cells.py:Leaky, learning_rate=0.003'
    """
    return ", ".join(
        text_of(value) if name in TELLING else f"{_last_part(name)}={text_of(value)}"
        for name, value in values.items()
    )


def _last_part(name: str) -> str:
    """Returns the last part of a dotted name, or all of it if another setting has the same."""
    last = name.rpartition(".")[2]
    others = [other for other in FIELDS if other != name and other.rpartition(".")[2] == last]
    return name if others else last


def text_of(value: object) -> str:
    """Returns a value as people write it."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return stored_config.short(tuple(value) if isinstance(value, list) else value)


def canonical(name: str, value: Any) -> str:
    """Returns the name of a value, the same for equal ones, such as `glstm+num_groups=4`."""
    if name != CELL:
        return text_of(value)
    cell, options = split_options(value)
    return "+".join(
        [text_of(cell), *sorted(f"{option}={text_of(of)}" for option, of in options.items())]
    )
