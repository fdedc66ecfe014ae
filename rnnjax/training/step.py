"""One step of training, one of evaluation: pure functions, which `devices.py` compiles."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from jax.typing import ArrayLike

from rnnjax.classifier import Classified, Classifier, Params, classify
from rnnjax.data.batches import Batch
from rnnjax.data.datasets import Split
from rnnjax.system import devices
from rnnjax.training.losses import cross_entropy
from rnnjax.training.metrics import EvalMetrics, TrainMetrics
from rnnjax.training.state import TrainState


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    model: Classifier,
    optimizer: optax.GradientTransformation,
    read: Callable[[ArrayLike], jax.Array],
    label_smoothing: float = 0.0,
    skip_non_finite: bool = False,
    axis_name: str | None = None,
) -> tuple[TrainState, jax.Array]:
    """Takes one step down the gradient of the mean loss over all devices' batches.

    Args:
      state: what the last step left.
      batch: this device's share of the images.
      key: the run's dropout key; this step's masks follow from it and the step.
      model: the classifier.
      optimizer: of its parameters.
      read: from images to sequences `[B, T, F]`.
      label_smoothing: see `cross_entropy`.
      skip_non_finite: count a step whose loss or gradient is not finite, and change nothing else.
      axis_name: of the mapped devices; None: not mapped.

    Returns:
      The new state, and the last hidden states, `[B, H]`, for a look at them.
    """
    dropout_key = devices.device_key(jax.random.fold_in(key, state.step), axis_name)
    inputs = read(batch.images)

    def mean_loss(params: Params) -> tuple[jax.Array, tuple[jax.Array, Classified]]:
        classified = classify(model, params, inputs, train=True, dropout_key=dropout_key)
        losses = cross_entropy(classified.logits, batch.labels, label_smoothing)
        return losses.mean(), (losses, classified)

    gradients, (losses, classified) = jax.grad(mean_loss, has_aux=True)(state.params)
    gradients = devices.mean(gradients, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    gradient_norm = optax.tree.norm(gradients)
    measured = TrainMetrics.single_from_model_output(
        loss=losses,
        logits=classified.logits,
        labels=batch.labels,
        gradient_norm=gradient_norm,
    )
    new_state = TrainState(
        step=state.step + 1,
        params=typing.cast(Params, optax.apply_updates(state.params, updates)),
        opt_state=opt_state,
        metrics=state.metrics.merge(devices.total(measured, axis_name)),
        skipped=state.skipped,
    )
    if skip_non_finite:
        finite = jnp.isfinite(devices.mean(losses.mean(), axis_name) + gradient_norm)
        left_out = dataclasses.replace(state, step=state.step + 1, skipped=state.skipped + 1)
        new_state = jax.tree.map(functools.partial(jnp.where, finite), new_state, left_out)
    return new_state, classified.last_hidden


def train_steps(
    state: TrainState,
    batches: Batch | jax.Array,
    key: jax.Array,
    split: Split | None,
    *,
    step: Callable[[TrainState, Batch, jax.Array], tuple[TrainState, jax.Array]],
) -> tuple[TrainState, jax.Array]:
    """Takes K steps, one after the other, in one program.

    Args:
      state: what the last step left.
      batches: leaves `[K, B, ...]`, or the rows of `split` that they consist of, `[K, B]`.
      key: see `train_step`.
      split: all images; None: they come with the batches.
      step: `train_step` with its options.

    Returns:
      The new state, and the last step's last hidden states, `[B, H]`.
    """

    def take(state: TrainState, batch: Any) -> tuple[TrainState, jax.Array]:
        if split is not None:
            batch = Batch(jnp.asarray(split.images)[batch], jnp.asarray(split.labels)[batch])
        return step(state, batch, key)

    def body(carry: tuple[TrainState, jax.Array], batch: Any) -> tuple[Any, None]:
        # With float64 switched on, counts come back wider than they went in.
        found = take(carry[0], batch)
        return jax.tree.map(lambda new, old: new.astype(old.dtype), found, carry), None

    _, hidden = jax.eval_shape(take, state, jax.tree.map(lambda leaf: leaf[0], batches))
    start = state, jnp.zeros(hidden.shape, hidden.dtype)
    (state, last_hidden), _ = jax.lax.scan(body, start, batches)
    return state, last_hidden


def eval_step(
    params: Params,
    metrics: Collection,
    batch: Batch,
    *,
    model: Classifier,
    read: Callable[[ArrayLike], jax.Array],
    axis_name: str | None = None,
) -> tuple[Collection, jax.Array]:
    """Adds a batch's loss and accuracy to the sums; masked images do not count.

    The loss is the plain cross-entropy, without label smoothing. The other arguments are those of
    `train_step`.

    Returns:
      The new sums, and the last hidden states, `[B, H]`.
    """
    inputs = read(batch.images)
    classified = classify(model, params, inputs)
    measured = EvalMetrics.single_from_model_output(
        loss=cross_entropy(classified.logits, batch.labels),
        logits=classified.logits,
        labels=batch.labels,
        mask=batch.mask,
    )
    return metrics.merge(devices.total(measured, axis_name)), classified.last_hidden
