"""What every format is made of: a trained classifier, and what its users must know of it."""

import json
import math
import typing
from importlib import metadata
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnnjax import __version__, stored_config
from rnnjax.classifier import Classified, Classifier, Params
from rnnjax.config import Config
from rnnjax.data.datasets import DatasetInfo
from rnnjax.data.sequences import ToSequences
from rnnjax.system.numerics import LIBRARIES
from rnnjax.training.trained import Trained

# Of the programs and models, as their users give and get them.
INPUTS, OUTPUTS = ("sequences", "lengths"), ("logits", "probabilities")


class Inference(NamedTuple):
    """A trained classifier, without what only training needs."""

    config: Config
    model: Classifier
    params: Params
    to_sequences: ToSequences
    pixel_order: Int[np.ndarray, "T F"]  # the value of an image, row by row, that each input is
    dataset: DatasetInfo
    about: dict[str, str]  # what goes into a file beside the model, JSON where it is no text

    def classify(
        self, sequences: Float[Array, "B T F"], lengths: Int[Array, " B"]
    ) -> dict[str, Float[Array, "B K"]]:
        """Returns the logits and the probabilities of the classes, by name.

        Args:
          sequences: `[B, T, F]`, pixels from 0 to 1 as `pixel_order` says.
          lengths: `[B]`, the steps of each sequence that count.
        """
        outputs = self.model.apply({"params": self.params}, sequences, lengths)
        logits = typing.cast(Classified, outputs).logits
        return dict(zip(OUTPUTS, (logits, jax.nn.softmax(logits)), strict=True))


def inference_of(trained: Trained) -> Inference:
    """Returns what the formats need of a checkpoint's model."""
    task = trained.task
    order = pixel_order(task.to_sequences, task.dataset.image_shape)
    bright = ", bright on dark" * (len(task.dataset.image_shape) == 2)
    about = {
        "producer": f"rnnjax {__version__}",
        "step": str(trained.step),
        "classes": json.dumps(task.dataset.class_names),
        "image_shape": json.dumps(task.dataset.image_shape),
        "inputs": "sequences[b, t, f] = image[b].flatten()[pixel_order[t][f]] / 255"
        f"{bright}; lengths[b] = steps that count",
        "pixel_order": json.dumps(order.tolist(), separators=(",", ":")),
        "config": json.dumps(stored_config.to_dict(trained.config)),
        "versions": json.dumps({name: metadata.version(name) for name in LIBRARIES}),
    }
    # Without the gradient there is nothing to compute again, and T need not be known.
    model = task.model.clone(remat=False)
    return Inference(
        trained.config, model, trained.params, task.to_sequences, order, task.dataset, about
    )


def pixel_order(to_sequences: ToSequences, image_shape: tuple[int, ...]) -> Int[np.ndarray, "T F"]:
    """Returns the value of an image, row by row, that each input of its sequence is."""
    numbers = np.arange(math.prod(image_shape)).reshape(image_shape)
    images = np.stack([numbers >> shift & 255 for shift in (16, 8, 0)]).astype(np.uint8)
    high, middle, low = np.asarray(jnp.rint(to_sequences(images) * 255), int)
    return (high << 16) + (middle << 8) + low
