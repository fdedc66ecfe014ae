"""Whether settings are what they may be: their types, ranges and choices, and how they fit."""

import dataclasses
import math
import re
from typing import Any

from ml_collections import ConfigDict

from rnnjax.config import Config, fields, limits
from rnnjax.errors import ConfigError, did_you_mean

LARGEST = {int: 2**31 - 1, float: 3e38}  # that JAX's int32 and float32 hold
FOLDERS = ("data.data_dir", "data.idx_dir")
# As TFDS has them, `emnist/balanced` or `mnist:3.0.1`, but for what other sites hold.
DATASET = re.compile(r"[A-Za-z_]\w*(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
URL = re.compile(r"[A-Za-z][\w+.-]+:/")  # of `gs://bucket` a Path leaves one slash

# What happens between two calls of the compiled program.
WHOLE_DISPATCHES = (
    "num_steps",
    "log_every_steps",
    "eval_every_steps",
    "checkpoint.every_steps",
)


def validate(config: object) -> None:
    """Checks types, ranges and choices.

    Raises:
      ConfigError: for the first setting that is wrong: its name, its value, what it may be.
    """
    if not isinstance(config, Config):
        raise ConfigError(f"get_config() must return a rnnjax.config.Config, not {config!r}")
    for name, field, value in fields(config):
        check_value(name, field, value)
    if config.optimizer.warmup_steps > config.num_steps:
        raise ConfigError(
            f"config.optimizer.warmup_steps={config.optimizer.warmup_steps} is more than "
            f"config.num_steps={config.num_steps}"
        )
    if config.seed + config.seeds - 1 > LARGEST[int]:
        raise ConfigError(
            f"config.seeds={config.seeds} from config.seed={config.seed} on: too large"
        )
    _check_profile_steps(config)
    for name, _, value in fields(config):
        if name in WHOLE_DISPATCHES and value % config.steps_per_dispatch:
            raise ConfigError(
                f"config.{name}={value} is not divisible by "
                f"config.steps_per_dispatch={config.steps_per_dispatch}"
            )


def check_value(name: str, field: dataclasses.Field, value: object) -> None:
    """Checks the type, range and choices of one setting.

    Args:
      name: the dotted name, for messages.
      field: of the setting, in `config.fields`.
      value: what it is to be.

    Raises:
      ConfigError: if it cannot be that.
    """
    wanted: Any = field.type
    if isinstance(value, int | float) and abs(value) > (most := LARGEST.get(wanted, 1)):
        raise ConfigError(f"config.{name}={value!r} is too large: at most {most:g}")
    if type(value) is int and wanted is float:
        value = float(value)
    if isinstance(value, dict) and wanted is ConfigDict:
        return
    if type(value) is not wanted:
        raise ConfigError(f"config.{name} must be of type {wanted.__name__}, got {value!r}")
    if isinstance(value, str) and not value.isascii() and not _is_text(value):
        raise ConfigError(f"config.{name}={value!r} has bytes that are no UTF-8; rename it")
    if name in FOLDERS and URL.match(str(value)):
        raise ConfigError(f"config.{name}={value!r} is no folder of a disk; name a mounted one")
    if name == "data.name" and not DATASET.fullmatch(str(value)):
        raise ConfigError(
            f"config.{name}={value!r} is no name of a data set; such are mnist, "
            "emnist/balanced, mnist:3.0.1"
        )
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(
            f"config.{name}={value!r} is unknown; {did_you_mean(str(value), choices)}"
        )
    bounds = field.metadata.get("bounds")
    if bounds and isinstance(value, int | float) and not _within(value, **bounds):
        raise ConfigError(f"config.{name}={value!r} is out of range: must be {limits(bounds)}")


def _check_profile_steps(config: Config) -> None:
    ends = re.fullmatch(r"(\d{1,10})-(\d{1,10})", config.profile_steps or "1-1", re.ASCII)
    if not (ends and 1 <= int(ends[1]) <= int(ends[2]) <= config.num_steps):
        raise ConfigError(
            f"config.profile_steps={config.profile_steps!r} must be FIRST-LAST, of the steps "
            f"1 to {config.num_steps}"
        )


def _is_text(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _within(value: float, at_least: float, above: float, at_most: float, below: float) -> bool:
    return math.isfinite(value) and at_least <= value <= at_most and above < value < below
