"""Settings as a run stores them: one JSON object, {dotted name: value}."""

import functools
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from rnnjax.config import Config, fields
from rnnjax.errors import ConfigError, did_you_mean
from rnnjax.validation import validate


def to_dict(config: Config) -> dict[str, object]:
    """Returns the settings as {dotted name: value}, of JSON types only."""
    return {name: _plain(value) for name, _, value in fields(config)}


def _plain(value: object) -> object:
    """Returns a setting as JSON would give it back."""
    if isinstance(value, ConfigDict):
        return {key: _plain(option) for key, option in value.items()}
    return list(value) if isinstance(value, tuple) else value


def short(value: object) -> str:
    """Returns a setting in short: of an own cell, the file without its folder.

    >>> short("/home/me/my_cells.py:LeakyCell")
    'my_cells.py:LeakyCell'
    """
    text = str(value)
    return text.rpartition("/")[2] if ".py:" in text else text


USUAL = {"model.cell", "model.hidden_size", "optimizer.learning_rate"}


def compared(config: Config) -> set[str]:
    """Returns the names of the settings that are not the default, and of the usual ones."""
    settings, defaults = to_dict(config), to_dict(Config())
    return USUAL | {name for name, value in settings.items() if value != defaults[name]}


def from_dict(stored: Mapping[str, object]) -> Config:
    """Returns the settings that `to_dict` has stored.

    Raises:
      ConfigError: for one that does not exist, or has a value that it cannot take.
    """
    config = Config()
    known = {name for name, _, _ in fields(config)}
    for name, value in stored.items():
        if name not in known:
            raise ConfigError(f"unknown setting config.{name}; {did_you_mean(name, known)}")
        *sections, field = name.split(".")
        holder: Any = functools.reduce(getattr, sections, config)
        try:
            setattr(holder, field, ConfigDict(value) if isinstance(value, dict) else value)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"config.{name}={value!r} cannot be: {error}") from error
    validate(config)
    return config
