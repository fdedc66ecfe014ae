"""Runs of one process of some, one after the other, with all that is random in a step.

python -m tests.training.topology HOST:PORT,PROCESSES,INDEX RUNS     or - in the place of the first

RUNS is JSON: [[workdir, number of steps, devices, API], ...]. Beside each workdir each process
leaves a file of which images its devices had, `rows_INDEX.npy`, `[S, B]`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from rnnjax.config import Config
from rnnjax.system import distributed
from rnnjax.training import start
from rnnjax.training.feed import Feed, open_feed
from rnnjax.training.train import train
from tests.training.runs import with_everything


def config_of(num_steps: int, devices: int, api: str) -> Config:
    """A run that tells the loss of every step."""
    config = with_everything(Config(num_steps=num_steps, log_every_steps=1, batch_size=32))
    config.eval_every_steps = config.checkpoint.every_steps = 1_000
    config.num_microbatches = 1
    config.data.name = "garments"
    config.model.hidden_size = 32
    config.model.input_keep_prob = config.model.output_keep_prob = 0.8
    config.parallel.devices, config.parallel.api = devices, api
    return config


def run(workdir: Path, num_steps: int, devices: int, api: str) -> None:
    """Trains, or goes on, and leaves which images this process has had."""
    rows: list[np.ndarray] = []

    def recorded(feed: Feed) -> Iterator[Any]:
        for batch in feed.batches:
            rows.append(np.concatenate([*np.asarray(batch)], axis=-1))  # [S, B], from [D, S, B]
            yield batch

    def open_recorded(*arguments: Any) -> Feed:
        feed = open_feed(*arguments)
        return feed._replace(batches=recorded(feed))

    with mock.patch.object(start, "open_feed", open_recorded):
        train(config_of(num_steps, devices, api), workdir)
    np.save(workdir.parent / f"rows_{jax.process_index()}", np.concatenate(rows))


if __name__ == "__main__":
    if sys.argv[1] != "-":
        distributed.initialize(sys.argv[1], "test")
    for workdir, *settings in json.loads(sys.argv[2]):
        run(Path(workdir), *settings)
