"""A task is built from settings alone."""

import builtins
import os
import socket
from typing import Any, NoReturn

import jax
import numpy as np
import pytest

from rnnjax.config import Config
from rnnjax.data.batches import Batch
from rnnjax.errors import ConfigError
from rnnjax.training.state import TrainState
from rnnjax.training.task import Task, build_task


def small() -> Config:
    config = Config()
    config.model.hidden_size = 8
    return config


def test_a_task_is_built_without_files_and_without_compiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build_task(small())  # what is imported or cached on first use is so now
    compilations: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        del duration_secs
        if event.endswith("backend_compile_duration"):
            compilations.append(event)

    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise AssertionError(f"opened {arguments}")

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.clear_caches()
    with monkeypatch.context() as patched:
        patched.setattr(builtins, "open", refuse)
        patched.setattr(os, "open", refuse)
        patched.setattr(os, "mkdir", refuse)
        patched.setattr(socket, "socket", refuse)
        task = build_task(small())
    assert compilations == []
    task.create_state()
    assert compilations  # the listener hears


def test_the_same_settings_give_the_same_state() -> None:
    def leaves(task: Task) -> list[Any]:
        return jax.tree.leaves(task.create_state())

    first, again = leaves(build_task(small())), leaves(build_task(small()))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    config = small()
    config.seed = 1
    other = leaves(build_task(config))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("rows", (2, 28, 28)), ("columns", (2, 28, 28)), ("pixels", (2, 784, 1))],
)
def test_images_become_the_sequences_of_the_settings(kind: str, shape: tuple[int, ...]) -> None:
    config = small()
    config.data.sequence = kind
    assert build_task(config).to_sequences(np.zeros((2, 28, 28), np.uint8)).shape == shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "lsmt"}, "did you mean 'lstm'"),
        ({"cell": "gru", "implementation": "deferred"}, "'deferred' cannot be had"),
        ({"output_keep_prob": 0.5, "implementation": "deferred"}, "'deferred' cannot be had"),
        ({"remat": True, "implementation": "deferred"}, "'deferred' cannot be had"),
        ({"hidden_size": 24, "implementation": "fused"}, "'fused' cannot be had .* H = 24"),
    ],
)
def test_a_model_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    config = small()
    for name, value in settings.items():
        setattr(config.model, name, value)
    with pytest.raises(ConfigError, match=message):
        build_task(config)


def test_the_implementation_is_that_of_the_settings() -> None:
    """The same step, by another program."""
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    batch = Batch(images, np.arange(4, dtype=np.int32))

    def step(implementation: str) -> tuple[str, TrainState]:
        config = small()
        config.model.implementation = implementation
        task = build_task(config)
        state, key = task.create_state(), jax.random.key(1)
        program = str(jax.make_jaxpr(task.train_step)(state, batch, key))
        return program, jax.jit(task.train_step)(state, batch, key)[0]

    program, deferred = step("deferred")
    other_program, scanned = step("scan")
    assert program != other_program
    for a, b in zip(jax.tree.leaves(deferred), jax.tree.leaves(scanned), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_kernel_is_asked_about_the_batch_of_a_device() -> None:
    config = Config(batch_size=16 * jax.device_count())
    config.model.hidden_size, config.model.implementation = 16, "fused"
    assert build_task(config).model.implementation == "fused"
    config.batch_size //= 2
    with pytest.raises(ConfigError, match="B a multiple of 16"):
        build_task(config)
