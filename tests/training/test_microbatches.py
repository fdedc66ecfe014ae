"""A batch in parts, one after the other: the same step in less memory."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from rnnjax.classifier import classify
from rnnjax.config import Config
from rnnjax.data.batches import Batch
from rnnjax.errors import ConfigError
from rnnjax.system.devices import Devices, choose
from rnnjax.training import memory
from rnnjax.training.losses import loss
from rnnjax.training.metrics import TrainMetrics, compute
from rnnjax.training.optimizer import global_norm
from rnnjax.training.state import TrainState
from rnnjax.training.task import Task, build_task
from tests.cases import assert_close, assert_equal

SIZE = 24
RNG = np.random.default_rng(0)
BATCH = Batch(
    RNG.integers(0, 256, (SIZE, 28, 28), np.uint8),
    RNG.integers(0, 10, SIZE).astype(np.int32),
    rows=np.arange(SIZE, dtype=np.int32),
)
KEY = jax.random.key(1)


def small(num_microbatches: int = 1, **model: Any) -> Config:
    config = Config(num_microbatches=num_microbatches)
    config.model.hidden_size = 8
    for name, value in model.items():
        setattr(config.model, name, value)
    return config


def noisy(num_microbatches: int = 1) -> Config:
    """With dropout and augmentation, which follow from the image and not from its part."""
    config = small(num_microbatches, input_keep_prob=0.8, state_keep_prob=0.8)
    config.augmentation.max_shift, config.augmentation.flip_prob = 2, 0.5
    return config


@pytest.fixture(scope="module")
def whole() -> Any:
    """The step with all of it at once."""
    task = build_task(noisy())
    return jax.jit(task.train_step)(task.create_state(), BATCH, KEY)


@pytest.mark.parametrize("number", [2, 6, 24])
def test_the_step_is_the_one_of_the_whole_batch(whole: Any, number: int) -> None:
    """Moments of Adam are its gradients; the parameters after one step are all but their signs."""
    task = build_task(noisy(number))
    state, last_hidden = jax.jit(task.train_step)(task.create_state(), BATCH, KEY)
    assert_close(state.opt_state[0].mu, whole[0].opt_state[0].mu, 1e-7)
    assert_close(state.params, whole[0].params, 1e-6)
    assert_close(last_hidden, whole[1], 1e-6)  # each image's own, in the order of the batch
    figures = compute(state.metrics)
    assert figures == pytest.approx(compute(whole[0].metrics), rel=1e-6)
    assert figures["accuracy"] * SIZE == pytest.approx(round(figures["accuracy"] * SIZE))


def test_each_part_has_dropout_of_its_own() -> None:
    config = small(4, output_keep_prob=0.5, hidden_size=32)
    task = build_task(config)
    same = BATCH._replace(images=np.repeat(BATCH.images[:1], SIZE, 0))
    _, last_hidden = jax.jit(task.train_step)(task.create_state(), same, KEY)
    assert len(np.unique(np.asarray(last_hidden) == 0, axis=0)) == SIZE


def test_off_a_step_keeps_its_bits() -> None:
    """Against the step as it was before there was anything to switch on."""
    task = build_task(small(output_keep_prob=0.5))

    def step(state: TrainState, batch: Batch, key: jax.Array) -> Any:
        dropout_key = jax.random.fold_in(key, state.step)
        inputs = task.to_sequences(batch.images)

        def mean_loss(params: Any) -> Any:
            classified = classify(task.model, params, inputs, train=True, dropout_key=dropout_key)
            losses = loss(classified.logits, batch.labels)
            return losses.mean(), (losses, classified)

        gradients, (losses, classified) = jax.grad(mean_loss, has_aux=True)(state.params)
        updates, opt_state = task.optimizer.update(gradients, state.opt_state, state.params)
        measured = TrainMetrics.single_from_model_output(
            loss=losses,
            logits=classified.logits,
            labels=batch.labels,
            gradient_norm=global_norm(gradients),
        )
        params: Any = optax.apply_updates(state.params, updates)
        metrics = state.metrics.merge(measured)
        return TrainState(state.step + 1, params, opt_state, metrics, state.skipped), classified[1]

    arguments = (task.create_state(), BATCH, KEY)
    assert_equal(jax.jit(task.train_step)(*arguments), jax.jit(step)(*arguments))


def bytes_beside_the_state(task: Task) -> int:
    compiled = jax.jit(task.train_step).lower(task.create_state(), BATCH, KEY).compile()
    usage = compiled.memory_analysis()
    assert usage is not None
    return usage.temp_size_in_bytes


def test_less_memory_is_taken_and_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences: dict[str, Any] = {"readout": "mean", "hidden_size": 64}
    at_once, in_parts = small(1, **sequences), small(8, **sequences)
    tasks = build_task(at_once), build_task(in_parts)
    assert 3 * bytes_beside_the_state(tasks[1]) < bytes_beside_the_state(tasks[0])
    monkeypatch.setattr(Devices, "memory_bytes", lambda _: 2_000_000)
    at_once.batch_size = in_parts.batch_size = 4_096
    at_once.eval_batch_size = in_parts.eval_batch_size = 4
    memory.check_memory(in_parts, choose(), tasks[1])
    with pytest.raises(ConfigError, match=r"config\.batch_size=4096 takes at least"):
        memory.check_memory(at_once, choose(), tasks[0])
    in_parts.eval_batch_size = 4_096  # whose outputs the readout sees at all steps
    with pytest.raises(ConfigError, match=r"config\.eval_batch_size=4096 takes at least"):
        memory.check_memory(in_parts, choose(), tasks[1])


@pytest.mark.parametrize(("hidden_size", "named"), [(8, "seeds=10"), (64, "model.hidden_size=64")])
def test_what_takes_the_memory_is_named(
    hidden_size: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten seeds, their number only if one of them would fit."""
    monkeypatch.setattr(Devices, "memory_bytes", lambda _: 60_000)
    config = small(hidden_size=hidden_size)
    config.batch_size = config.eval_batch_size = 4
    config.seeds = 10
    with pytest.raises(ConfigError, match=rf"config\.{named} takes at least"):
        memory.check_memory(config, choose(), build_task(config))


def test_parts_of_a_batch_are_equal() -> None:
    choose().check_batch_size(128, 32)
    with pytest.raises(ConfigError, match=r"4 devices times config\.num_microbatches=3$"):
        choose().check_batch_size(128, 3)
