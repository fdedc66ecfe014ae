"""Settings as a run stores them: one JSON object, {dotted name: value}."""

import functools
import hashlib
import json
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


# What nothing that is computed depends on.
WITHOUT_EFFECT = (
    "eval_batch_size",
    "log_every_steps",
    "profile_steps",
    "strict",
    "data.data_dir",
    "data.idx_dir",
    "data.on_device",
    "parallel.devices",
    "parallel.api",
    "parallel.host_devices",
    "checkpoint.every_steps",
    "checkpoint.keep",
)
SEEDS = ("seed", "seeds")


def group(config: Config) -> str:
    """Returns a short name that runs share which differ in their seeds alone.

    It begins with the cell. Of an own cell it depends on the class and on what the file holds,
    `model.cell_sha256`, not on where the file is.
    """
    settings = {k: v for k, v in to_dict(config).items() if k not in (*SEEDS, *WITHOUT_EFFECT)}
    name = settings["model.cell"] = str(settings["model.cell"]).rpartition(":")[2]
    # As JSON, 1 and 1.0 would be two settings.
    alike = {k: float(v) if type(v) is int else v for k, v in settings.items()}
    content = json.dumps(alike, sort_keys=True).encode()
    return f"{name} {hashlib.sha256(content).hexdigest()[:12]}"


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
