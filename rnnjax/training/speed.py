"""How fast a run would be here, from a few steps of the programs that it will run."""

import statistics
import time
from typing import NamedTuple

import jax

from rnnjax.config import Config
from rnnjax.data.datasets import Dataset
from rnnjax.seeds import seeds_of
from rnnjax.system.devices import choose, start
from rnnjax.training import state as train_state
from rnnjax.training.feed import open_feed
from rnnjax.training.memory import check_memory
from rnnjax.training.metrics import EvalMetrics
from rnnjax.training.over_seeds import stack
from rnnjax.training.task import (
    build_task,
    compile_eval_step,
    compile_train_steps,
    create_states,
)

LEAST_SECONDS, FEWEST_DISPATCHES = 1.0, 3  # that are measured


class Speed(NamedTuple):
    """What a run takes, in seconds; steps and evaluations of one seed, its share of several."""

    start: float  # to build and to compile, the data loaded
    step: float  # of training, the median
    evaluation: float  # of all images that are not trained on


def measure(config: Config, dataset: Dataset) -> Speed:
    """Compiles the programs of a run and times them; nothing is written.

    What is compiled is in JAX's persistent cache when the run itself begins.

    Args:
      config: the settings of the run.
      dataset: its images.

    Raises:
      ConfigError: if the run does not fit into memory.
    """
    started = time.monotonic()
    start(config.parallel.host_devices)
    task, seeds = build_task(config), seeds_of(config)
    devices = choose(config.parallel)
    check_memory(config, devices, task)
    feed = open_feed(config, devices, dataset, first_step=0)
    train_steps = compile_train_steps(task, devices, config.seeds)
    eval_step = compile_eval_step(task, devices, config.seeds)
    state = devices.replicate(create_states(task, seeds))
    keys = devices.replicate(stack([train_state.keys(seed)[1] for seed in seeds]))
    times: list[float] = []
    for batch in feed.batches:
        before = time.monotonic()
        state, _ = train_steps(state, batch, keys, feed.split)
        jax.block_until_ready(state.step)
        times.append(time.monotonic() - before)
        enough = len(times) > FEWEST_DISPATCHES or times[-1] > LEAST_SECONDS
        if len(times) > 1 and enough and sum(times[1:]) > LEAST_SECONDS:
            break
    batches = [batch for of_split in feed.evaluation.values() for batch in of_split]
    eval_times: list[float] = []
    for batch in batches[:FEWEST_DISPATCHES]:
        before = time.monotonic()
        sums = devices.replicate(stack([EvalMetrics.empty()] * config.seeds))
        jax.block_until_ready(eval_step(state.eval_params, sums, batch))
        eval_times.append(time.monotonic() - before)
    steps = times[1:] or times  # the first one compiles
    evaluations = eval_times[1:] or eval_times
    measured = sum(steps) + sum(evaluations)
    return Speed(
        start=time.monotonic() - started - measured,
        step=statistics.median(steps) / config.steps_per_dispatch / config.seeds,
        evaluation=statistics.median(evaluations) * len(batches) / config.seeds,
    )
