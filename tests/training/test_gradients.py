"""Gradients of every cell at the start: images that are blank, white and noise, stacked layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import CELLS
from rnnjax.classifier import build, classify
from rnnjax.config import ModelConfig
from rnnjax.data.datasets import Dataset
from rnnjax.training.losses import loss
from rnnjax.training.optimizer import global_norm
from tests.cases import jit_unoptimized


@pytest.fixture(scope="module")
def images(real: Dataset) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (1, 28, 28))
    flat = np.stack([np.zeros((28, 28)), np.full((28, 28), 255)])
    return np.concatenate([real.train.images[:5], flat, noise]).astype(np.float32) / 255


def loss_and_norm(images: np.ndarray, config: ModelConfig) -> tuple[jax.Array, jax.Array]:
    model = build(config, num_classes=10, num_features=images.shape[-1])
    labels = jnp.arange(len(images), dtype=jnp.int32)

    @jit_unoptimized
    def derive(inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = model.init(jax.random.key(0), inputs[:1])["params"]

        def mean_loss(params: Any) -> jax.Array:
            return loss(classify(model, params, inputs).logits, labels).mean()

        value, gradients = jax.value_and_grad(mean_loss)(params)
        return value, global_norm(gradients)

    return derive(jnp.asarray(images))


@pytest.mark.parametrize("name", CELLS)
def test_two_layers_of_rows(name: str, images: np.ndarray) -> None:
    config = ModelConfig(cell=name, hidden_size=28, num_layers=2)
    if CELLS[name](28).num_feature_axes > 1:  # an image of so many axes is no row
        config.num_layers = 1
    value, norm = loss_and_norm(images, config)
    assert np.isfinite(value)
    assert norm < 1e3


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("name", ["layer_norm_gru", "layer_norm_lstm"])
def test_layer_norm_at_any_depth(name: str, num_layers: int, images: np.ndarray) -> None:
    config = ModelConfig(cell=name, hidden_size=32, num_layers=num_layers)
    value, norm = loss_and_norm(images, config)
    assert np.isfinite(value)
    assert norm < 1e3
