"""A compiled training step with nothing around it."""

import functools
import time
from typing import Any

import jax
import numpy as np

from rnnjax.config import Config
from rnnjax.data.batches import Batch
from rnnjax.system.collectives import AXIS
from rnnjax.system.devices import choose
from rnnjax.system.mapped import mapped
from rnnjax.training.task import build_task


class BareStep:
    """The training step of a config on one batch of noise that stays on the device."""

    def __init__(self, config: Config) -> None:
        rng = np.random.default_rng(0)
        share = config.batch_size // jax.process_count()
        images = rng.integers(0, 256, (share, 28, 28), np.uint8)
        labels = rng.integers(0, 10, share, np.int32)
        task = build_task(config)
        step = functools.partial(task.train_step, axis_name=AXIS)
        devices = choose(config.parallel)
        self._mapped: Any = mapped(step, devices.mesh, config.parallel.api, ())
        self._step = devices.compile_step(step, donate_argnums=(0,))
        key = jax.random.key(0)
        state = task.create_state()
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        self.state = devices.replicate(state)
        self._batch, self._key = devices.shard(Batch(images, labels)), devices.replicate(key)
        self.seconds(1)  # compiles

    def program(self) -> str:
        """Returns what XLA has compiled, as text."""
        return self._mapped.lower(self.state, self._batch, self._key).compile().as_text()

    def seconds(self, num_steps: int) -> float:
        """Returns the seconds that one of so many steps took."""
        start = time.monotonic()
        for _ in range(num_steps):
            self.state, _ = self._step(self.state, self._batch, self._key)
        jax.block_until_ready(self.state)
        return (time.monotonic() - start) / num_steps
