"""One step of training, one of evaluation: pure functions, which `Devices` compiles."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from rnnjax.classifier import Classifier, Params, classify
from rnnjax.data.augmentation import Augment
from rnnjax.data.batches import Batch
from rnnjax.data.datasets import Split
from rnnjax.data.sequences import ToSequences
from rnnjax.system import collectives
from rnnjax.training.gradients import gradients_of
from rnnjax.training.losses import loss
from rnnjax.training.metrics import EvalMetrics, TrainMetrics
from rnnjax.training.optimizer import global_norm
from rnnjax.training.state import TrainState


class Evaluated(NamedTuple):
    """What an evaluation step returns."""

    sums: Collection
    # Of the classes; with several devices of all their images. N: of several seeds.
    probabilities: Float[Array, "*N B K"]
    last_hidden: Float[Array, "*N B H"]


Stepped = tuple[TrainState, Float[Array, "*N B H"]]  # the new state, the last hidden states


def train_step(
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    model: Classifier,
    optimizer: optax.GradientTransformation,
    to_sequences: ToSequences,
    augment: Augment | None = None,
    label_smoothing: float = 0.0,
    num_microbatches: int = 1,
    skip_non_finite: bool = False,
    axis_name: str | None = None,
) -> Stepped:
    """Takes one step down the gradient of the mean loss over all devices' batches.

    Args:
      state: after the step before.
      batch: this device's share of the images, leaves `[B, ...]`.
      key: the run's dropout key; this step's masks and augmentation follow from it and the step.
      model: the classifier.
      optimizer: of its parameters.
      to_sequences: from images, uint8, to sequences `[B, T, F]`.
      augment: what images undergo before, which needs their rows; None: nothing.
      label_smoothing: share of the target spread evenly over all classes.
      num_microbatches: parts of `[B, ...]` that are computed one after the other.
      skip_non_finite: count a step whose loss or gradient is not finite, and change nothing else.
      axis_name: of the mapped devices; None: not mapped.

    Returns:
      The new state, and the last hidden states, `[B, H]`, for their histogram.
    """
    if augment is not None:
        assert batch.rows is not None
        images = augment(batch.images, batch.rows, key, state.step)
        batch = batch._replace(images=images)
    gradients, outcome = gradients_of(
        state.params,
        batch,
        jax.random.fold_in(key, state.step),
        collectives.index(axis_name) * len(batch.labels),
        model=model,
        to_sequences=to_sequences,
        label_smoothing=label_smoothing,
        num_microbatches=num_microbatches,
    )
    gradients = collectives.mean(gradients, axis_name)
    measured: Any = TrainMetrics.single_from_model_output(
        loss=outcome.losses, logits=outcome.logits, labels=batch.labels, gradient_norm=jnp.zeros(())
    )
    measured = collectives.total_of_equal_parts(measured, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    gradient_norm = global_norm(gradients)
    # All devices have the same one already.
    norm = type(measured.gradient_norm).from_model_output(gradient_norm=gradient_norm)
    measured = dataclasses.replace(measured, gradient_norm=norm)
    new_state = TrainState(
        step=state.step + 1,
        params=typing.cast(Params, optax.apply_updates(state.params, updates)),
        opt_state=opt_state,
        metrics=state.metrics.merge(measured),
        skipped=state.skipped,
    )
    if skip_non_finite:
        # A square of a gradient may overflow in the optimizer, where the norm does not.
        finite = jnp.isfinite(measured.loss.total + gradient_norm)
        for leaf in jax.tree.leaves((new_state.params, opt_state)):
            finite &= jnp.isfinite(leaf).all()
        skipped = dataclasses.replace(state, step=state.step + 1, skipped=state.skipped + 1)
        new_state = jax.tree.map(functools.partial(jnp.where, finite), new_state, skipped)
    return new_state, outcome.last_hidden


def train_steps(
    state: TrainState,
    batches: Batch | Int[Array, "S *N B"],
    key: Key[Array, "*N"],
    split: Split | None,
    *,
    step: Callable[[TrainState, Batch, Key[Array, "*N"]], Stepped],
) -> Stepped:
    """Takes S steps, one after the other, in one program.

    Args:
      state: after the step before.
      batches: leaves `[S, B, ...]`, or the rows of `split` that they consist of, `[S, B]`; of
        several seeds `[S, N, B, ...]`, as all leaves of the state lead with N.
      key: the run's dropout key; of several seeds `[N]`.
      split: all images; None: they come with the batches.
      step: `train_step` with its options.

    Returns:
      The new state, and the last step's last hidden states, `[B, H]`.
    """

    def take_step(state: TrainState, batch: Batch | Int[Array, "*N B"]) -> Stepped:
        if split is not None:
            rows = typing.cast(Array, batch)
            images, labels = (jnp.asarray(array)[rows] for array in split)
            batch = Batch(images, labels, rows=rows)
        return step(state, typing.cast(Batch, batch), key)

    def body(carry: Stepped, batch: Batch | Int[Array, "*N B"]) -> tuple[Stepped, None]:
        new = take_step(carry[0], batch)
        # With float64 switched on, counts come back wider than they went in.
        return jax.tree.map(lambda new, old: new.astype(old.dtype), new, carry), None

    _, hidden = jax.eval_shape(take_step, state, jax.tree.map(lambda leaf: leaf[0], batches))
    start = state, jnp.zeros(hidden.shape, hidden.dtype)
    (state, last_hidden), _ = jax.lax.scan(body, start, batches)
    return state, last_hidden


def eval_step(
    params: Params,
    metrics: Collection,
    batch: Batch,
    *,
    model: Classifier,
    to_sequences: ToSequences,
    axis_name: str | None = None,
) -> Evaluated:
    """Adds a batch's loss and accuracy to the sums; masked images do not count.

    The loss is without label smoothing.

    Args:
      params: the parameters of the model.
      metrics: the sums so far, `EvalMetrics`.
      batch: this device's share of the images, leaves `[B, ...]`.
      model: the classifier.
      to_sequences: from images, uint8, to sequences `[B, T, F]`.
      axis_name: of the mapped devices; None: not mapped.

    Returns:
      The new sums, the probabilities of the classes of all devices' images, `[D B, K]`, and this
      device's last hidden states, `[B, H]`.
    """
    classified = classify(model, params, to_sequences(batch.images))
    measured = EvalMetrics.single_from_model_output(
        loss=loss(classified.logits, batch.labels),
        logits=classified.logits,
        labels=batch.labels,
        mask=batch.mask,
    )
    return Evaluated(
        metrics.merge(collectives.total(measured, axis_name)),
        collectives.gather(jax.nn.softmax(classified.logits), axis_name),
        classified.last_hidden,
    )
