"""Tiny classifiers with random parameters, and sequences whose padding is NaN."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.classifier import build
from rnnjax.config import Config, ModelConfig
from rnnjax.data.datasets import GARMENTS
from rnnjax.data.sequences import to_sequences
from rnnjax.exporting.inference import Inference
from tests.cases import RANGES
from tests.references.common import Case

STEPS, FEATURES, UNITS = 7, 28, 6
LENGTHS = np.array([7, 0, 1, 9, 4, -3], np.int32)  # all, none, one, too many, some, less than none


def inference(case: Case, num_features: int = FEATURES, **fields: Any) -> Inference:
    """Returns a classifier of a case's cell with random parameters."""
    config = ModelConfig(hidden_size=UNITS, **fields)
    model = build(config, 10, num_features).clone(cell=case.name, cell_options=case.options)
    inputs = jax.ShapeDtypeStruct((1, STEPS, num_features), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape) / 3
        return jnp.asarray(RANGES.get(path[-1].key, lambda v: v)(values), jnp.float32)

    params = jax.tree_util.tree_map_with_path(draw, params)
    order = np.arange(STEPS * num_features).reshape(STEPS, num_features)
    rows = functools.partial(to_sequences, kind="rows", permutation_seed=0)
    return Inference(Config(), model, params, rows, order, GARMENTS, {"step": "7"})


def sequences(num_features: int = FEATURES) -> np.ndarray:
    """Returns sequences `[B, T, F]` of which only `LENGTHS` steps are numbers."""
    shape = (len(LENGTHS), STEPS, num_features)
    x = np.random.default_rng(1).random(shape, np.float32)
    x[np.arange(STEPS) >= np.maximum(LENGTHS, 0)[:, None]] = np.nan
    return x
