"""Several devices do what one does, and nothing is compiled twice."""

import functools
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax import classifier
from rnnjax.config import AugmentationConfig, Config, ParallelConfig
from rnnjax.data import datasets
from rnnjax.data.batches import Batch, train_rows
from rnnjax.errors import ConfigError
from rnnjax.system.collectives import AXIS
from rnnjax.system.devices import Devices, choose, unreplicate
from rnnjax.system.mapped import mapped
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


@pytest.fixture(params=["pmap", "jit"])
def four(request: pytest.FixtureRequest) -> Devices:
    """All devices, by either API."""
    assert jax.device_count() == 4
    return choose(ParallelConfig(api=request.param))


def of_row(step: Callable[..., Any], devices: Devices, donated: tuple[int, ...] = ()) -> Any:
    return devices.compile_step(functools.partial(step, axis_name=AXIS), donated)


def test_four_devices_train_as_one(real: datasets.Dataset) -> None:
    """By both APIs, whose programs are the same."""
    task = build_task(of_all_noise())
    state = task.create_state()
    batches = train_batches(real.train, 20)
    key = jax.random.key(1)
    alone = losses(jax.jit(task.train_step), state, batches, key, lambda metrics: metrics)
    assert alone[-1] < 0.8 * alone[0]
    by_api = []
    for api in ("pmap", "jit"):
        devices = choose(ParallelConfig(api=api))
        together = losses(
            of_row(task.train_step, devices, (0,)),
            devices.replicate(state),
            [devices.shard(batch) for batch in batches],
            devices.replicate(key),
            unreplicate,
        )
        np.testing.assert_allclose(together, alone, rtol=1e-5)
        by_api.append(together)
    assert by_api[0] == by_api[1]


def test_evaluation_does_not_depend_on_its_batch_size(
    real: datasets.Dataset, four: Devices
) -> None:
    """128 and 1,000 split evenly over the devices, 77 is padded; NumPy adds it up once more."""
    config = Config()
    config.model.hidden_size = 32
    task = build_task(config)
    state, compiled = task.create_state(), compile_eval_step(task, four)
    params = four.replicate(state.params)
    actual = [
        evaluate(
            four, compiled, params, device_batches(four, real.test, batch_size), real.test.labels
        )
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


@pytest.mark.parametrize("api", ["pmap", "jit"])
def test_a_step_has_one_collective(api: str) -> None:
    """Gradients and figures go together, as the program compiled by XLA says."""
    devices, config = choose(), Config()
    config.model.hidden_size, config.on_nan = 8, "skip"
    task = build_task(config)
    step: Any = mapped(functools.partial(task.train_step, axis_name=AXIS), devices.mesh, api, ())
    images = devices.shard(Batch(np.zeros((8, 28, 28), np.uint8), np.zeros(8, np.int32)))
    state, key = devices.replicate((task.create_state(), jax.random.key(0)))
    program = step.lower(state, images, key).compile().as_text()
    kinds = r"(all-reduce|all-gather|all-to-all|reduce-scatter|collective-\w+)(?:-start)?\("
    assert re.findall(kinds, program) == ["all-reduce"]


def test_dropout_masks_differ_between_devices_and_steps() -> None:
    four = choose()
    config = Config()
    config.model.hidden_size, config.model.output_keep_prob = 64, 0.5
    task = build_task(config)
    compiled = of_row(task.train_step, four)
    one = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    batch = Batch(np.repeat(one, 8, 0), np.zeros(8, np.int32))
    states, keys = four.replicate((task.create_state(), jax.random.key(3)))
    after, first = compiled(states, four.shard(batch), keys)
    _, second = compiled(after, four.shard(batch), keys)
    masks = [np.asarray(hidden).reshape(8, 64) == 0 for hidden in (first, second)]
    together = np.concatenate(masks)
    assert len(np.unique(together, axis=0)) == 16
    assert 0.4 < together.mean() < 0.6


def test_nothing_is_compiled_again_after_the_first_step(
    real: datasets.Dataset, four: Devices
) -> None:
    task = build_task(Config())
    train_steps, eval_step = compile_train_steps(task, four), compile_eval_step(task, four)
    replicated, keys = four.replicate((task.create_state(), jax.random.key(0)))
    test = device_batches(four, real.test, 1_000)
    compilations: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        del duration_secs
        if event.endswith("backend_compile_duration"):
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    rows = train_rows(len(real.train.labels), 0, 128, range(12), 3, 0, 1)
    split = four.replicate(real.train)
    for number, batch in enumerate(four.prefetch(rows, axis=1)):
        replicated, _ = train_steps(replicated, batch, keys, split)
        compute(unreplicate(replicated.metrics))
        evaluate(four, eval_step, replicated.params, test, real.test.labels)
        if number == 0:
            assert compilations  # the listener hears
            compilations.clear()
    assert compilations == []


def test_batch_sizes_and_devices(four: Devices) -> None:
    four.check_batch_size(128)
    with pytest.raises(ConfigError, match=r"config\.batch_size=130 is not divisible by the 4"):
        four.check_batch_size(130)
    assert [four.round_up(size) for size in (1, 4, 77)] == [4, 4, 80]
    two = choose(ParallelConfig(devices=2))
    two.check_batch_size(130)
    assert [two.round_up(size) for size in (1, 4, 77)] == [2, 4, 78]


def test_prefetch_keeps_all_batches_in_order(four: Devices) -> None:
    batches = [np.full((8, 2), i, np.float32) for i in range(5)]
    for size in (1, 2, 9):
        actual = [np.asarray(batch).reshape(8, 2) for batch in four.prefetch(batches, size=size)]
        np.testing.assert_array_equal(actual, batches)


@pytest.mark.parametrize(("free", "expected"), [([400, 400], True), ([400, 399], False)])
def test_what_takes_more_than_a_quarter_of_a_device_does_not_fit(
    free: list[int], expected: bool
) -> None:
    """A CPU does not tell what it has, so devices that do stand in."""
    arrays = (np.zeros(60, np.uint8), np.zeros(10, np.int32))  # 100 bytes
    assert choose().fits(arrays)
    limited = [SimpleNamespace(memory_stats=lambda n=n: {"bytes_limit": n}) for n in free]
    mesh: Any = SimpleNamespace(local_devices=limited)
    assert Devices(mesh).fits(arrays) is expected
