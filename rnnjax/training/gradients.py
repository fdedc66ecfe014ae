"""The gradient of the mean loss of a batch, all of it at once or one part after the other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from rnnjax.classifier import Classifier, Params, classify
from rnnjax.data.batches import Batch
from rnnjax.data.sequences import ToSequences
from rnnjax.training.losses import loss
from rnnjax.training.row_keys import key_of_rows


class Outcome(NamedTuple):
    """What a model makes of a batch in training."""

    losses: Float[Array, " B"]
    logits: Float[Array, "B K"]
    last_hidden: Float[Array, "B H"]


def gradients_of(
    params: Params,
    batch: Batch,
    dropout_key: PRNGKeyArray,
    first_row: Int[Array, ""] | int,
    *,
    model: Classifier,
    to_sequences: ToSequences,
    label_smoothing: float,
    num_microbatches: int,
) -> tuple[Params, Outcome]:
    """Returns the gradient of the mean loss, and what it is made of.

    In M microbatches, one after the other, it needs the memory of one of them; the gradient is the
    mean of theirs, which for equal parts is that of the batch, with the same dropout masks.

    Args:
      params: of the model.
      batch: leaves `[B, ...]`.
      dropout_key: of the dropout masks of all devices' batches together.
      first_row: of this batch among them.
      model: the classifier.
      to_sequences: from images, uint8, to sequences `[B, T, F]`.
      label_smoothing: share of the target spread evenly over all classes.
      num_microbatches: M, which divides B.
    """

    def mean_loss(
        params: Params, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Outcome]:
        inputs = to_sequences(batch.images)
        classified = classify(model, params, inputs, train=True, dropout_key=key)
        losses = loss(classified.logits, batch.labels, label_smoothing)
        return losses.mean(), Outcome(losses, *classified)

    gradient = jax.grad(mean_loss, has_aux=True)
    if num_microbatches == 1:
        return gradient(params, batch, key_of_rows(dropout_key, first_row))
    size = len(batch.labels) // num_microbatches

    def add(total: Params, part: tuple[Batch, Array]) -> tuple[Params, Outcome]:
        microbatch, number = part
        key = key_of_rows(dropout_key, first_row + number * size)
        gradients, outcome = gradient(params, microbatch, key)
        return jax.tree.map(jnp.add, total, gradients), outcome

    parts = jax.tree.map(lambda leaf: leaf.reshape(num_microbatches, -1, *leaf.shape[1:]), batch)
    zeros = jax.tree.map(jnp.zeros_like, params)
    total, outcomes = jax.lax.scan(add, zeros, (parts, jnp.arange(num_microbatches)))
    gradients = jax.tree.map(lambda leaf: leaf / num_microbatches, total)
    return gradients, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outcomes)
