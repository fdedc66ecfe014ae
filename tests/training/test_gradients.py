"""Gradients of every cell, at the start and in training: blank, white and noisy images, layers."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnjax.cells import CELLS
from rnnjax.classifier import build, classify
from rnnjax.config import ModelConfig, OptimizerConfig
from rnnjax.data.datasets import Dataset
from rnnjax.data.sequences import to_sequences
from rnnjax.recurrent.unroll import unroll
from rnnjax.training.losses import loss
from rnnjax.training.optimizer import adam, global_norm
from tests.cases import UNITS, WRAPPED, jit_unoptimized


@pytest.fixture(scope="module")
def images(real: Dataset) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    flat = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    return np.concatenate([real.train.images[:5], flat, noise])


class Readout(nn.Module):
    """A cell over time, in the way of the classifier, which has no wrappers but dropout."""

    cell: nn.RNNCellBase

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        widened = nn.Dense(UNITS)(inputs)
        return nn.Dense(10)(unroll(self.cell, widened, return_outputs="last").outputs)


def check_gradients(
    init: Any, logits: Any, inputs: jax.Array, num_steps: int, limit: float = 1e3
) -> None:
    """Trains on the images for some steps, and checks loss and gradient before each of them."""
    labels = jnp.arange(len(inputs), dtype=jnp.int32)
    optimizer = adam(OptimizerConfig(), num_steps)

    @jit_unoptimized
    def train(inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(state: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            params, optimizer_state = state

            def mean_loss(params: Any) -> jax.Array:
                return loss(logits(params, inputs), labels).mean()

            value, gradients = jax.value_and_grad(mean_loss)(params)
            updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
            params = optax.apply_updates(params, updates)
            return (params, optimizer_state), (value, global_norm(gradients))

        params = init(inputs[:1])
        return jax.lax.scan(step, (params, optimizer.init(params)), length=num_steps)[1]

    losses, norms = train(inputs)
    assert np.isfinite(losses).all()
    assert np.isfinite(norms).all()
    assert np.max(norms) < limit


def check_classifier(
    images: np.ndarray,
    name: str,
    num_layers: int,
    sequence: str,
    num_steps: int,
    limit: float = 1e3,
) -> None:
    inputs = to_sequences(images, sequence, 0)
    if CELLS[name](28).num_feature_axes > 1:  # an image of so many axes is no row
        num_layers = 1
    config = ModelConfig(cell=name, hidden_size=28, num_layers=num_layers)
    model = build(config, num_classes=10, num_features=inputs.shape[-1])
    check_gradients(
        lambda inputs: model.init(jax.random.key(0), inputs)["params"],
        lambda params, inputs: classify(model, params, inputs).logits,
        inputs,
        num_steps,
        limit,
    )


@pytest.mark.parametrize("name", CELLS)
def test_two_layers_of_rows(name: str, images: np.ndarray) -> None:
    check_classifier(images, name, 2, "rows", 51)


@pytest.mark.parametrize("name", CELLS)
def test_pixels(name: str, images: np.ndarray) -> None:
    # Without gates, a gradient over so many steps explodes or vanishes, whichever way the largest
    # eigenvalue of the weights falls (Pascanu et al., 2013): with some seeds to 1e11.
    limit = np.inf if name == "rnn" else 1e3
    check_classifier(images, name, 1, "pixels", 3, limit)


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("name", ["layer_norm_gru", "layer_norm_lstm"])
def test_layer_norm_at_any_depth(name: str, num_layers: int, images: np.ndarray) -> None:
    check_classifier(images, name, num_layers, "rows", 51)


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers(name: str, images: np.ndarray) -> None:
    keys = {key: jax.random.key(0) for key in ("params", "dropout", "zoneout", "variational")}
    model = Readout(WRAPPED[name])
    check_gradients(
        lambda inputs: model.init(keys, inputs)["params"],
        lambda params, inputs: model.apply({"params": params}, inputs, rngs=keys),
        to_sequences(images, "rows", 0),
        51,
    )
