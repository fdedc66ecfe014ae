"""Quick runs on drawn garments, and what they leave in their workdirs."""

from collections import defaultdict
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorflow as tf

from rnnjax.config import Config
from rnnjax.runs.steps import steps_in


def small(seed: int = 0, steps: int = 12) -> Config:
    """A quick run on drawn garments."""
    config = Config(num_steps=steps, log_every_steps=2, eval_every_steps=4, seed=seed)
    config.data.name = "garments"
    config.model.hidden_size = 8
    config.model.output_keep_prob = 0.8
    config.checkpoint.every_steps = 5
    return config


def with_everything(config: Config) -> Config:
    """Switches on what training can do beside dropout."""
    config.augmentation.max_shift, config.augmentation.flip_prob = 2, 0.5
    config.augmentation.erase_prob = 0.5
    config.optimizer.average_decay = 0.9
    config.model.readout = "attention"
    config.num_microbatches = 2
    return config


def final_state(folder: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of the newest checkpoint, by path."""
    newest = folder.absolute() / "checkpoints" / str(steps_in(folder / "checkpoints")[-1])
    checkpointer = ocp.Checkpointer(ocp.StandardCheckpointHandler())
    state = checkpointer.restore(newest / "state", args=ocp.args.StandardRestore())
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def events(folder: Path) -> dict[str, list[tuple[int, tf.Tensor]]]:
    """Returns {tag: [(step, value), ...]} in the order they were written."""
    actual = defaultdict(list)
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                actual[value.tag].append((event.step, value))
    return actual
