"""A run of a few seconds in which much happens: dropout, held-out images, many saves.

With RECORD_SAMPLES=FILE in the environment, each batch that training takes is noted there: process,
step, and a digest of its images and labels in their order.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnjax.config import Config
from rnnjax.data.sources import Split

STEPS, SAVE_EVERY, LOG_EVERY, EVAL_EVERY = 48, 5, 4, 8


def get_config() -> Config:
    config = Config(num_steps=STEPS, log_every_steps=LOG_EVERY, eval_every_steps=EVAL_EVERY)
    config.eval_batch_size = 20  # many batches, so that an evaluation can be hit
    config.data.name = "garments"
    config.data.validation_size = 500
    config.model.hidden_size = 8
    config.model.output_keep_prob = 0.8
    config.checkpoint.every_steps = SAVE_EVERY
    if "RECORD_SAMPLES" in os.environ:
        record_samples(Path(os.environ["RECORD_SAMPLES"]))
    return config


def record_samples(file: Path) -> None:
    """Notes every batch on its way from the data to the training, which stays as it is."""
    from rnnjax.data import pipeline

    train_batches = pipeline.train_batches

    def recorded(
        split: Split, seed: int, batch_size: int, steps: range, process: int, num_processes: int
    ) -> Iterator[pipeline.Batch]:
        batches = train_batches(split, seed, batch_size, steps, process, num_processes)
        for step, batch in zip(steps, batches, strict=True):
            content = np.asarray(batch.images).tobytes() + np.asarray(batch.labels).tobytes()
            with file.open("a") as notes:
                notes.write(f"{os.getpid()} {step} {hashlib.sha256(content).hexdigest()}\n")
            yield batch

    pipeline.train_batches = recorded
