"""What training minimises."""

import jax
import optax
from jaxtyping import Array, Float, Int
from numpy import ndarray


def loss(
    logits: Float[Array, "B K"], labels: Int[Array | ndarray, " B"], smoothing: float = 0.0
) -> Float[Array, " B"]:
    """Returns the softmax cross-entropy of each example, in nats.

    Args:
      logits: `[B, K]`; the softmax is applied here, once.
      labels: `[B]`, integers in [0, K).
      smoothing: share of the target spread evenly over all K classes (Szegedy et al., 2016).
    """
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, smoothing))
