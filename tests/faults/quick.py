"""A run of a few seconds in which much happens: dropout, held-out images, many saves.

With RECORD_SAMPLES=FILE in the environment, each batch that training takes is noted there: process,
step, and a digest of which images it holds, in their order. With RECORD_OPENED=FILE, each path that
is opened. With RECORD_COMPILING=FILE, when the training is about to be compiled.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.config import Config

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
    if "RECORD_OPENED" in os.environ:
        record_opened(Path(os.environ["RECORD_OPENED"]))
    if "RECORD_COMPILING" in os.environ:
        record_compiling(Path(os.environ["RECORD_COMPILING"]))
    return config


def record_compiling(file: Path) -> None:
    """Notes each call that takes steps, of which the first compiles and looks for no signal."""
    from rnnjax.training.run import Run

    train_steps = Run.train_steps

    def recorded(self: Run, step: int, state: Any) -> Any:
        file.touch()
        return train_steps(self, step, state)

    Run.train_steps = recorded


def record_opened(file: Path) -> None:
    """Notes every path that Python opens, makes, renames or removes from here on."""
    notes = file.open("a", buffering=1)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove"):
            for argument in arguments[:2]:
                if isinstance(argument, str | os.PathLike):
                    notes.write(f"{os.fspath(argument)}\n")

    sys.addaudithook(note)


def record_samples(file: Path) -> None:
    """Notes every batch on its way from the data to the training, which stays as it is."""
    from rnnjax.data import batches

    train_rows = batches.train_rows

    def recorded(
        size: int, seed: int, batch_size: int, steps: range, *options: int
    ) -> Iterator[np.ndarray]:
        rows = train_rows(size, seed, batch_size, steps, *options)
        for step, chosen in zip(steps, rows, strict=True):
            with file.open("a") as notes:
                digest = hashlib.sha256(chosen.tobytes()).hexdigest()
                notes.write(f"{os.getpid()} {step} {digest}\n")
            yield chosen

    batches.train_rows = recorded
