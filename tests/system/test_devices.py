"""Several devices do what one does, and nothing is compiled twice."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax import classifier
from rnnjax.config import AugmentationConfig, Config
from rnnjax.data import datasets
from rnnjax.data.batches import Batch, train_rows
from rnnjax.errors import ConfigError
from rnnjax.system import devices
from rnnjax.training.evaluation import device_batches, evaluate
from rnnjax.training.metrics import compute
from rnnjax.training.task import build_task, compile_eval_step, compile_train_steps


def losses(
    step: Callable[..., Any], state: Any, batches: list[Any], key: Any, first: Callable[[Any], Any]
) -> list[float]:
    """Returns the mean loss of each step, from the sums that the state carries."""
    sums = [0.0]
    for batch in batches:
        state, _ = step(state, batch, key)
        averages = first(state.metrics).loss
        sums.append(float(averages.total))
    return list(np.diff(sums) / len(batches[0].labels.reshape(-1)))


def train_batches(split: datasets.Split, num_steps: int) -> list[Batch]:
    rows = train_rows(len(split.labels), 0, 128, range(num_steps), 1, 0, 1)
    return [Batch(split.images[of], split.labels[of], rows=of) for (of,) in rows]


def of_all_noise() -> Config:
    """With all that is random in a step."""
    config = Config()
    config.model.input_keep_prob = config.model.output_keep_prob = 0.8
    config.augmentation = AugmentationConfig(max_shift=2, flip_prob=0.5, erase_prob=0.5)
    return config


@pytest.mark.parametrize("config", [Config(), of_all_noise()], ids=["plain", "noise"])
def test_four_devices_train_as_one(config: Config, real: datasets.Dataset) -> None:
    assert jax.device_count() == 4
    task = build_task(config)
    state = task.create_state()
    batches = train_batches(real.train, 20)
    key = jax.random.key(1)
    alone = losses(jax.jit(task.train_step), state, batches, key, lambda metrics: metrics)
    together = losses(
        devices.compile_step(functools.partial(task.train_step, axis_name=devices.AXIS), (0,)),
        devices.replicate(state),
        [devices.shard(batch) for batch in batches],
        devices.replicate(key),
        devices.unreplicate,
    )
    assert alone[-1] < 0.8 * alone[0]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_evaluation_does_not_depend_on_its_batch_size(real: datasets.Dataset) -> None:
    """128 and 1,000 split evenly over the devices, 77 is padded; NumPy adds it up once more."""
    config = Config()
    config.model.hidden_size = 32
    task = build_task(config)
    state, compiled = task.create_state(), compile_eval_step(task)
    params = devices.replicate(state.params)
    actual = [
        evaluate(compiled, params, device_batches(real.test, batch_size), real.test.labels)
        for batch_size in (128, 1_000, 77)
    ]
    inputs = task.to_sequences(real.test.images)
    logits = np.asarray(classifier.classify(task.model, state.params, inputs).logits)
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    expected_loss = -log_softmax[np.arange(10_000), real.test.labels].mean()
    for of_seeds in actual:
        assert of_seeds is not None
        (evaluation,) = of_seeds
        np.testing.assert_allclose(
            evaluation.predictions.probabilities, np.exp(log_softmax), rtol=1e-4, atol=1e-7
        )
        assert evaluation.accuracy == np.mean(logits.argmax(1) == real.test.labels)
        assert evaluation.loss == pytest.approx(expected_loss, rel=1e-6)


def test_dropout_masks_differ_between_devices_and_steps() -> None:
    config = Config()
    config.model.hidden_size, config.model.output_keep_prob = 64, 0.5
    task = build_task(config)
    step = functools.partial(task.train_step, axis_name=devices.AXIS)
    compiled = devices.compile_step(step, ())
    one = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    batch = Batch(np.repeat(one, 8, 0), np.zeros(8, np.int32))
    states, keys = devices.replicate((task.create_state(), jax.random.key(3)))
    after, first = compiled(states, devices.shard(batch), keys)
    _, second = compiled(after, devices.shard(batch), keys)
    masks = [np.asarray(hidden).reshape(8, 64) == 0 for hidden in (first, second)]
    together = np.concatenate(masks)
    assert len(np.unique(together, axis=0)) == 16
    assert 0.4 < together.mean() < 0.6


def test_nothing_is_compiled_again_after_the_first_step(real: datasets.Dataset) -> None:
    task = build_task(Config())
    train_steps, eval_step = compile_train_steps(task), compile_eval_step(task)
    replicated, keys = devices.replicate((task.create_state(), jax.random.key(0)))
    test = device_batches(real.test, 1_000)
    compilations: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        del duration_secs
        if event.endswith("backend_compile_duration"):
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    rows = train_rows(len(real.train.labels), 0, 128, range(12), 3, 0, 1)
    split = devices.replicate(real.train)
    for number, batch in enumerate(devices.prefetch(rows, axis=1)):
        replicated, _ = train_steps(replicated, batch, keys, split)
        compute(devices.unreplicate(replicated.metrics))
        evaluate(eval_step, replicated.params, test, real.test.labels)
        if number == 0:
            assert compilations  # the listener hears
            compilations.clear()
    assert compilations == []


def test_batch_sizes_and_devices() -> None:
    devices.check_batch_size(128)
    with pytest.raises(ConfigError, match=r"config\.batch_size=130 is not divisible by the 4"):
        devices.check_batch_size(130)
    assert [devices.round_up_to_devices(size) for size in (1, 4, 77)] == [4, 4, 80]


def test_prefetch_keeps_all_batches_in_order() -> None:
    batches = [np.full((8, 2), i, np.float32) for i in range(5)]
    for size in (1, 2, 9):
        actual = [np.asarray(batch).reshape(8, 2) for batch in devices.prefetch(batches, size=size)]
        np.testing.assert_array_equal(actual, batches)


@pytest.mark.parametrize(("free", "expected"), [([400, 400], True), ([400, 399], False)])
def test_what_takes_more_than_a_quarter_of_a_device_does_not_fit(
    free: list[int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU does not tell what it has, so devices that do stand in."""
    arrays = (np.zeros(60, np.uint8), np.zeros(10, np.int32))  # 100 bytes
    assert devices.fits(arrays)
    limited = [SimpleNamespace(memory_stats=lambda n=n: {"bytes_limit": n}) for n in free]
    monkeypatch.setattr(jax, "local_devices", lambda: limited)
    assert devices.fits(arrays) is expected
