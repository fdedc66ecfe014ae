"""Pooling over time: one vector of the outputs of all steps of a sequence."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Kind = Literal["mean", "max", "attention"]


class Pooling(nn.Module):
    """Makes one vector of what a network puts out at the steps of a sequence that count.

    `mean` and `max` are of each unit alone, and without parameters. `attention` is a mean whose
    weights are a softmax over the steps (Yang et al., "Hierarchical attention networks for document
    classification", 2016) of the additive score of Bahdanau et al. (2015), with a learned vector v
    in place of a query: `score_t = v . tanh(y_t W + b)`.

    Attributes:
      kind: which of the three.
    """

    kind: Kind

    @nn.compact
    def __call__(
        self, outputs: Float[Array, "B T H"], lengths: Int[Array, " B"] | None = None
    ) -> Float[Array, "B H"]:
        """Returns `[B, H]` of outputs `[B, T, H]`; zero for a sequence without a step.

        Args:
          outputs: of all steps; beyond the lengths they may hold anything.
          lengths: `[B]`, the steps of each sequence that count; None: all.
        """
        batch_size, num_steps = outputs.shape[:2]
        counts = jnp.full(batch_size, num_steps) if lengths is None else lengths
        valid = jnp.arange(num_steps, dtype=counts.dtype) < counts[:, None]
        valid = valid[..., None]  # [B, T, 1]
        lowest = jnp.finfo(outputs.dtype).min
        if self.kind == "max":
            highest = jnp.where(valid, outputs, lowest).max(axis=1)
            return jnp.where(valid.any(axis=1), highest, 0)
        outputs = jnp.where(valid, outputs, 0)
        weights = valid.astype(outputs.dtype)
        if self.kind == "attention":
            hidden = nn.tanh(nn.Dense(outputs.shape[-1], name="projection")(outputs))
            scores = nn.Dense(1, use_bias=False, name="score")(hidden)
            scores = jnp.where(valid, scores, lowest)
            weights *= jnp.exp(scores - scores.max(axis=1, keepdims=True))
        total = weights.sum(axis=1, keepdims=True)
        return (weights / jnp.where(total > 0, total, 1) * outputs).sum(axis=1)
