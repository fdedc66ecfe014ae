"""Every setting of a run, once: its default, its meaning and its range.

The defaults are the recipe of the TensorFlow 1 tutorial that rnnjax started from. An experiment
file returns a `Config` from `get_config()`; any field can be overridden on the command line,
`--config.model.hidden_size=512`. Nothing heavy is imported here, so that `--help` and a misspelt
flag answer at once.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict


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
    """A field with its meaning and the values it may take, which `validation.py` checks."""
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    metadata = {"meaning": meaning, "bounds": bounds, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True)
class DataConfig:
    name: str = option(
        "fashion_mnist",
        "data set: fashion_mnist, garments (drawn, which needs no data), or any of TFDS's sets of "
        "labelled images, such as mnist, kmnist, emnist/balanced or cifar10",
    )
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
        "how an image is read: of 28x28, in 28 steps of 28 features, or in 784 steps of one",
        choices=("rows", "columns", "pixels", "permuted_pixels"),
    )
    permutation_seed: int = option(
        0, "fixes the order of permuted_pixels", at_least=0, at_most=2**31 - 1
    )


@dataclasses.dataclass(slots=True)
class AugmentationConfig:
    max_shift: int = option(
        0,
        "most pixels that a training image moves each way, with black behind it",
        at_least=0,
    )
    flip_prob: float = option(
        0.0, "probability that left and right change places", at_least=0, at_most=1
    )
    erase_prob: float = option(
        0.0, "probability that a random rectangle becomes black", at_least=0, at_most=1
    )
    erase_area: float = option(
        0.33,
        "largest share of an image that is erased; the smallest is 0.02",
        at_least=0.02,
        at_most=1,
    )


@dataclasses.dataclass(slots=True)
class ModelConfig:
    cell: str = option(
        "lstm", "a registered cell, of `python -m rnnjax.cells`, or one of your own: FILE.py:CLASS"
    )
    cell_sha256: str = option("", "of the file of an own cell, which it must have; empty: any")
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
    readout: str = option(
        "last",
        "what of the outputs over time is classified; attention: a mean with learned weights",
        choices=("last", "mean", "max", "attention"),
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
    average_decay: float = option(
        0.0,
        "of an exponential average of the parameters, which is what is evaluated; 0: none",
        at_least=0,
        below=1,
    )


@dataclasses.dataclass(slots=True)
class ParallelConfig:
    devices: int = option(
        0, "how many of the devices of all processes are used; 0: all", at_least=0
    )
    api: str = option(
        "pmap",
        "what maps a step over devices: jax.pmap or its successor, jax.jit of jax.shard_map",
        choices=("pmap", "jit"),
    )
    host_devices: int = option(
        0,
        "devices that each process makes of the cores of a CPU, such as one a core: faster for "
        "small batches over many steps; 0: as JAX_NUM_CPU_DEVICES says, or one",
        at_least=0,
        at_most=1_024,
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
    seeds: int = option(
        1,
        "independent runs at once, in one program, of as many seeds from `seed` on",
        at_least=1,
        at_most=1_000,
    )
    num_steps: int = option(2_000, "training steps of the whole run", at_least=1)
    batch_size: int = option(128, "training images a step, over all devices", at_least=1)
    num_microbatches: int = option(
        1,
        "parts of each device's batch that are computed one after the other, for less memory; "
        "their gradients are averaged",
        at_least=1,
    )
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
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)


def fields(config: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yields (dotted name, field, value) of every setting that is not a section."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field, value


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
