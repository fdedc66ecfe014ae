"""Every setting of a run, once: its default, its meaning and its range.

The defaults are the recipe of the TensorFlow 1 tutorial that rnnjax started from. An experiment
file returns a `Config` from `get_config()`; any field can be overridden on the command line,
`--config.model.hidden_size=512`. Nothing heavy is imported here, so that `--help` and a misspelt
flag answer at once.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from rnnjax.errors import ConfigError, did_you_mean

LARGEST = {int: 2**31 - 1, float: 3e38}  # that JAX's int32 and float32 hold


def option(
    default: Any,
    meaning: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    choices: Sequence[str] = (),
) -> Any:
    """A field with its meaning and the values it may take, which `validate` checks."""
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    metadata = {"meaning": meaning, "bounds": bounds, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True)
class DataConfig:
    name: str = option("fashion_mnist", "data set", choices=("fashion_mnist", "garments"))
    data_dir: str = option("", "TFDS's data folder; empty: TFDS's own default")
    idx_dir: str = option(
        "", "folder of the four original .gz files; empty: where Debian's package puts them"
    )
    on_device: bool = option(
        True, "keep the training images on each device, if they fit; False: stream them"
    )
    validation_size: int = option(
        0, "images held out from the end of the training split", at_least=0
    )
    sequence: str = option(
        "rows",
        "how an image is read: 28 steps of 28 features, or 784 steps of one",
        choices=("rows", "columns", "pixels", "permuted_pixels"),
    )
    permutation_seed: int = option(
        0, "fixes the order of permuted_pixels", at_least=0, at_most=2**31 - 1
    )


@dataclasses.dataclass(slots=True)
class ModelConfig:
    cell: str = option("lstm", "name of a registered cell (rnnjax/cells/__init__.py)")
    cell_options: ConfigDict = dataclasses.field(
        default_factory=ConfigDict,
        metadata={"meaning": "further fields of the cell, as a dict: \"{'use_peepholes': True}\""},
    )
    hidden_size: int = option(
        256, "units of each layer; of a convolution, over all positions", at_least=1
    )
    num_layers: int = option(1, "cells stacked on each other", at_least=1, at_most=1_000)
    bidirectional: bool = option(False, "a second cell in each layer goes backwards in time")
    input_keep_prob: float = option(1.0, "share of each layer's inputs kept", above=0, at_most=1)
    output_keep_prob: float = option(1.0, "share of each layer's outputs kept", above=0, at_most=1)
    state_keep_prob: float = option(1.0, "share of the hidden state kept", above=0, at_most=1)
    variational_dropout: bool = option(False, "drop the same units at each step of a sequence")
    compute_dtype: str = option(
        "float32",
        "of products and activations; parameters and carries are float32",
        choices=("float32", "bfloat16"),
    )
    remat: bool = option(False, "compute most steps again for the gradient: less memory, more time")
    implementation: str = option(
        "auto",
        "what runs the cells over time in training; 'auto': the fastest measured on such a device",
        choices=("auto", "scan", "deferred", "cudnn", "fused"),
    )
    readout_stddev: float = option(0.1, "of the readout's truncated normal weights", at_least=0)
    readout_bias: float = option(0.1, "initial bias of the readout")


@dataclasses.dataclass(slots=True)
class OptimizerConfig:
    learning_rate: float = option(1e-3, "of Adam, at its highest", above=0)
    beta1: float = option(0.9, "decay of Adam's mean of gradients", at_least=0, below=1)
    beta2: float = option(0.999, "decay of Adam's mean of squares", at_least=0, below=1)
    epsilon: float = option(1e-8, "added to the root of the squares", above=0)
    schedule: str = option(
        "constant",
        "course of the learning rate after the warm-up, down to 0 at num_steps",
        choices=("constant", "linear", "cosine"),
    )
    warmup_steps: int = option(0, "steps of linear rise to the full rate", at_least=0)
    clip_norm: float = option(0.0, "largest norm of all gradients together; 0: any", at_least=0)
    weight_decay: float = option(
        0.0, "decoupled (AdamW), on matrices only; times the learning rate", at_least=0
    )
    label_smoothing: float = option(
        0.0, "share of the target spread over all classes, in training", at_least=0, below=1
    )


@dataclasses.dataclass(slots=True)
class CheckpointConfig:
    every_steps: int = option(500, "steps between checkpoints", at_least=1)
    keep: int = option(
        3, "newest checkpoints kept, beside the one of the best validation accuracy", at_least=1
    )


@dataclasses.dataclass(slots=True)
class Config:
    seed: int = option(0, "of parameters, data order and dropout", at_least=0, at_most=2**31 - 1)
    num_steps: int = option(2_000, "training steps of the whole run", at_least=1)
    batch_size: int = option(128, "training images a step, over all devices", at_least=1)
    eval_batch_size: int = option(1_000, "test images evaluated at once", at_least=1)
    log_every_steps: int = option(20, "steps between training figures", at_least=1)
    steps_per_dispatch: int = option(
        1,
        "steps taken by one call of the compiled program: more keep a small model on a GPU from "
        "waiting for Python; must divide num_steps and all every_steps",
        at_least=1,
    )
    eval_every_steps: int = option(100, "steps between evaluations on all test images", at_least=1)
    profile_steps: str = option(
        "",
        "steps to trace for TensorBoard's profile plugin and Perfetto, such as 10-20; empty: none",
    )
    on_nan: str = option(
        "halt",
        "what a loss or gradient that is not finite does: end the run, or leave out that step",
        choices=("halt", "skip"),
    )
    max_skipped_steps: int = option(10, "steps that on_nan=skip may leave out", at_least=0)
    strict: bool = option(
        False, "do not go on where other devices, cores or versions may change the last bits"
    )
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)


FOLDERS = ("data.data_dir", "data.idx_dir")
URL = re.compile(r"[A-Za-z][\w+.-]+:/")  # of `gs://bucket` a Path leaves one slash

# What happens between two calls of the compiled program.
WHOLE_DISPATCHES = (
    "num_steps",
    "log_every_steps",
    "eval_every_steps",
    "checkpoint.every_steps",
)


def fields(config: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yields (dotted name, field, value) of every setting that is not a section."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field, value


def validate(config: object) -> None:
    """Checks types, ranges and choices.

    Raises:
      ConfigError: for the first setting that is wrong: its name, its value, what it may be.
    """
    if not isinstance(config, Config):
        raise ConfigError(f"get_config() must return a rnnjax.config.Config, not {config!r}")
    for name, field, value in fields(config):
        wanted: Any = field.type
        if isinstance(value, int | float) and abs(value) > (most := LARGEST.get(wanted, 1)):
            raise ConfigError(f"config.{name}={value!r} is too large: at most {most:g}")
        if type(value) is int and wanted is float:
            value = float(value)
        if isinstance(value, dict) and wanted is ConfigDict:
            continue
        if type(value) is not wanted:
            raise ConfigError(f"config.{name} must be of type {wanted.__name__}, got {value!r}")
        if isinstance(value, str) and not value.isascii() and not _is_text(value):
            raise ConfigError(f"config.{name}={value!r} has bytes that are no UTF-8; rename it")
        if name in FOLDERS and URL.match(str(value)):
            raise ConfigError(f"config.{name}={value!r} is no folder of a disk; name a mounted one")
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            raise ConfigError(
                f"config.{name}={value!r} is unknown; {did_you_mean(str(value), choices)}"
            )
        bounds = field.metadata.get("bounds")
        if bounds and isinstance(value, int | float) and not _within(value, **bounds):
            raise ConfigError(f"config.{name}={value!r} is out of range: must be {limits(bounds)}")
    if config.optimizer.warmup_steps > config.num_steps:
        raise ConfigError(
            f"config.optimizer.warmup_steps={config.optimizer.warmup_steps} is more than "
            f"config.num_steps={config.num_steps}"
        )
    _check_profile_steps(config)
    for name, _, value in fields(config):
        if name in WHOLE_DISPATCHES and value % config.steps_per_dispatch:
            raise ConfigError(
                f"config.{name}={value} is not divisible by "
                f"config.steps_per_dispatch={config.steps_per_dispatch}"
            )


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


def limits(bounds: dict[str, float]) -> str:
    """Returns bounds of an option in words, such as `above 0 and at most 1`."""
    stated = [f"{k.replace('_', ' ')} {v:.10g}" for k, v in bounds.items() if math.isfinite(v)]
    return " and ".join(stated) or "finite"


def describe(config: Config) -> str:
    """Returns one line a setting: name, default, meaning."""
    lines = (
        f"--config.{name}={value!r}: {field.metadata['meaning']}"
        + ("".join(f" {c!r}" for c in field.metadata.get("choices", ())))
        for name, field, value in fields(config)
    )
    return "\n".join(lines)
