"""What is trained: settings turned into a model, its optimiser and its pure steps."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from jaxtyping import PRNGKeyArray

from rnnjax import classifier
from rnnjax.classifier import Classifier, Params
from rnnjax.config import Config
from rnnjax.data import datasets, sequences
from rnnjax.data.augmentation import augmentation
from rnnjax.data.batches import Batch, Rows
from rnnjax.data.datasets import DatasetInfo, Split
from rnnjax.data.sequences import ToSequences
from rnnjax.system.collectives import AXIS
from rnnjax.system.devices import Devices
from rnnjax.training import state, step
from rnnjax.training.optimizer import adam, learning_rate
from rnnjax.training.over_seeds import over_seeds
from rnnjax.training.state import TrainState
from rnnjax.training.step import Evaluated, Stepped


class Task(NamedTuple):
    """What settings mean, before there is data, a device or a workdir."""

    dataset: DatasetInfo
    model: Classifier
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule  # the learning rate of a step, counted from 0
    to_sequences: ToSequences
    # `step.train_step` and `step.eval_step` with all their options but `axis_name`.
    train_step: Callable[..., Stepped]
    eval_step: Callable[..., Evaluated]
    init_state: Callable[[PRNGKeyArray], TrainState]  # the state before the first step; pure
    create_state: Callable[[], TrainState]  # the same of `config.seed`, compiled


def build_task(config: Config) -> Task:
    """Returns the task that the settings describe; nothing is written or compiled.

    Nothing is read either, unless only TFDS knows the data set.

    Raises:
      ConfigError: for an unknown data set or cell, an option that the cell does not have, or a
        wrong value.
      DataError: if what TFDS has of the data set on the disk cannot be read.
    """
    dataset = datasets.describe(config.data)
    num_features = sequences.num_features(config.data.sequence, dataset.image_shape)
    num_devices = config.parallel.devices or jax.device_count()
    model = classifier.build(
        config.model,
        len(dataset.class_names),
        num_features,
        batch_size=max(1, config.batch_size // num_devices // config.num_microbatches),
    )
    optimizer = adam(config.optimizer, config.num_steps)
    to_sequences = functools.partial(
        sequences.to_sequences,
        kind=config.data.sequence,
        permutation_seed=config.data.permutation_seed,
    )

    def init_state(key: PRNGKeyArray) -> TrainState:
        images = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.uint8)
        inputs = jax.eval_shape(to_sequences, images)
        return state.init(model, optimizer, key, jnp.zeros(inputs.shape, inputs.dtype))

    def create_state() -> TrainState:
        params_key, _ = state.keys(config.seed)
        return jax.jit(init_state)(params_key)

    return Task(
        dataset=dataset,
        model=model,
        optimizer=optimizer,
        schedule=learning_rate(config.optimizer, config.num_steps),
        to_sequences=to_sequences,
        train_step=functools.partial(
            step.train_step,
            model=model,
            optimizer=optimizer,
            to_sequences=to_sequences,
            augment=augmentation(config.augmentation, dataset.image_shape),
            label_smoothing=config.optimizer.label_smoothing,
            num_microbatches=config.num_microbatches,
            skip_non_finite=config.on_nan == "skip",
        ),
        eval_step=functools.partial(step.eval_step, model=model, to_sequences=to_sequences),
        init_state=init_state,
        create_state=create_state,
    )


# The steps of a task over all devices: their arrays lead with the axis of the local devices, then,
# if there are several seeds, with that of these.
TrainSteps = Callable[[TrainState, Batch | Rows, PRNGKeyArray, Split | None], Stepped]
EvalStep = Callable[[Params, Collection, Batch], Evaluated]


class Programs(NamedTuple):
    """What runs on the devices."""

    train_steps: TrainSteps
    eval_step: EvalStep
    dropout_key: PRNGKeyArray  # replicated


def create_states(task: Task, seeds: Sequence[int]) -> TrainState:
    """Returns the states of all seeds before the first step, each as `create_state` makes it."""
    if len(seeds) == 1:
        return task.create_state()
    params_keys = jnp.stack([state.keys(seed)[0] for seed in seeds])
    return jax.jit(lambda keys: jax.lax.map(task.init_state, keys))(params_keys)


def compile_train_steps(task: Task, devices: Devices, num_seeds: int = 1) -> TrainSteps:
    """Returns `step.train_steps` for all seeds and devices; the state given is overwritten."""
    one_step = functools.partial(task.train_step, axis_name=AXIS)
    of_all = over_seeds(one_step, num_seeds, num_own=3)
    return devices.compile_step(
        functools.partial(step.train_steps, step=of_all), donate_argnums=(0,)
    )


def compile_eval_step(task: Task, devices: Devices, num_seeds: int = 1) -> EvalStep:
    """Returns `step.eval_step` for all seeds and devices; the sums given are overwritten."""
    one_step = functools.partial(task.eval_step, axis_name=AXIS)
    return devices.compile_step(over_seeds(one_step, num_seeds, num_own=2), donate_argnums=(1,))
