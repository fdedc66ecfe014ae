"""Whether a run fits into memory, asked before anything is allocated."""

import math
from typing import Any

import jax

from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.system.devices import Devices
from rnnjax.training.task import Task


def check_memory(config: Config, devices: Devices, task: Task) -> None:
    """Refuses a run that cannot fit: too large a state, or too large batches.

    What is counted is the least that there can be: parameters, gradients and the optimizer's
    state; a batch as sequences of float32 with the outputs that the readout sees, and in training
    the hidden states of all steps, or with `remat` of a root of them. XLA takes more.

    Raises:
      ConfigError: naming the setting, and the bytes that it takes.
    """
    there = devices.memory_bytes()
    if there is None:
        return
    at_once = 1 if devices.on_cpu else config.seeds  # as `over_seeds` has it
    model, image_shape = config.model, task.dataset.image_shape
    pixels = math.prod(image_shape)
    try:
        shapes = jax.eval_shape(task.create_state)
        state, gradients = _num_bytes(shapes), _num_bytes(shapes.params)
    except (OverflowError, ValueError, TypeError) as error:
        raise ConfigError(
            f"config.model.hidden_size={model.hidden_size} makes arrays that JAX cannot have: "
            f"{error}"
        ) from error
    image = jax.ShapeDtypeStruct((1, *image_shape), "uint8")
    steps = jax.eval_shape(task.to_sequences, image).shape[1]
    hidden = model.hidden_size * (1 + model.bidirectional)
    read = 1 if model.readout == "last" else steps  # outputs
    states = max(model.num_layers * (math.isqrt(steps) if model.remat else steps), read)
    images = config.batch_size // devices.count // config.num_microbatches
    training = images * 4 * (pixels + states * hidden)
    evaluation = -(-config.eval_batch_size // devices.count) * 4 * (pixels + read * hidden)
    every_state = config.seeds * state + at_once * gradients
    for name, value, of_one, needed in (
        ("model.hidden_size", model.hidden_size, state + gradients, every_state),
        ("batch_size", config.batch_size, training, at_once * training),
        ("eval_batch_size", config.eval_batch_size, evaluation, at_once * evaluation),
    ):
        if of_one <= there < needed:
            name, value = "seeds", config.seeds
        if needed > there:
            raise ConfigError(
                f"config.{name}={value} takes at least {_gib(needed)} a device, and there "
                f"are {_gib(there)}"
            )


def _num_bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"
