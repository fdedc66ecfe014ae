"""Adam, and the course of its learning rate: what `config.OptimizerConfig` asks for."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from rnnjax.config import OptimizerConfig
from rnnjax.training.averaging import average_params


def learning_rate(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step, counted from 0.

    Args:
      config: the highest rate, its warm-up and its course after it.
      num_steps: of the whole run, at whose end the course ends.
    """
    decay_steps = max(num_steps - config.warmup_steps, 1)
    if config.schedule == "cosine":
        decay = optax.cosine_decay_schedule(config.learning_rate, decay_steps)
    elif config.schedule == "linear":
        decay = optax.linear_schedule(config.learning_rate, 0.0, decay_steps)
    else:
        decay = optax.constant_schedule(config.learning_rate)
    if config.warmup_steps == 0:
        return decay
    # The first rate is not 0, which would waste a step, and the last one is the full rate.
    first = config.learning_rate / config.warmup_steps
    warmup = optax.linear_schedule(first, config.learning_rate, config.warmup_steps - 1)
    return optax.join_schedules([warmup, decay], [config.warmup_steps])


def adam(config: OptimizerConfig, num_steps: int) -> optax.GradientTransformation:
    """Returns Adam (Kingma & Ba, 2015), with clipping, decoupled decay and averaging if set.

    The weight decay (AdamW; Loshchilov & Hutter, 2019) applies to matrices, not to biases and
    peepholes, which have no scale to hold down.

    Args:
      config: all of its settings but `label_smoothing`, which is of the loss.
      num_steps: of the whole run.
    """
    transforms = []
    if config.clip_norm > 0:
        transforms.append(clip_by_global_norm(config.clip_norm))
    transforms.append(optax.scale_by_adam(config.beta1, config.beta2, config.epsilon))
    if config.weight_decay > 0:
        transforms.append(optax.add_decayed_weights(config.weight_decay, mask=_matrices))
    transforms.append(optax.scale_by_learning_rate(learning_rate(config, num_steps)))
    if config.average_decay > 0:
        transforms.append(average_params(config.average_decay))
    chain = optax.chain(*transforms)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        # Optax takes powers of floats by integer counts. A program under strict promotion, as the
        # tests are, could not use it otherwise.
        with jax.numpy_dtype_promotion("standard"):
            return chain.update(updates, state, params)

    return optax.GradientTransformation(chain.init, update)


def global_norm(gradients: optax.Updates) -> Float[Array, ""]:
    """Returns the Euclidean norm of all arrays together, also where a square would overflow.

    In float32 or, with larger types among them, in that of all; 0 of none.
    """
    scale, _, norm = _scaled(gradients)
    return scale * norm


def clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """Returns what scales gradients down to a norm, if theirs is greater.

    As `optax.clip_by_global_norm`, but where a square, or the norm itself, overflows: that divides
    finite gradients by an infinite norm, and all of them become zero.
    """

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        scale, scaled, norm = _scaled(updates)
        factor = limit / norm
        is_greater = scale * norm > limit
        clipped = jax.tree.map(
            lambda g, s: jnp.where(is_greater, (s * factor.astype(s.dtype)).astype(g.dtype), g),
            updates,
            scaled,
        )
        return clipped, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _scaled(gradients: optax.Updates) -> tuple[Float[Array, ""], optax.Updates, Float[Array, ""]]:
    """Returns a scale, the gradients divided by it, far from overflow, and the norm of these."""
    leaves = jax.tree.leaves(gradients)
    with jax.numpy_dtype_promotion("standard"):
        real_types = (jnp.finfo(leaf.dtype).dtype for leaf in leaves)  # of complex numbers too
        dtype = functools.reduce(jnp.promote_types, real_types, jnp.float32)
        wide = jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, dtype)), gradients)
    largest = [jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(wide)]
    # Within limits, since XLA may divide by multiplying with the reciprocal: 2 ** 100 for float32.
    limit = 2.0 ** (jnp.finfo(dtype).maxexp - 28)
    scale = jnp.clip(jnp.max(jnp.stack([jnp.zeros((), dtype), *largest])), 1 / limit, limit)
    scaled = jax.tree.map(lambda leaf: leaf / scale.astype(leaf.dtype), wide)
    return scale, scaled, jnp.asarray(optax.tree.norm(scaled), dtype)


def _matrices(params: optax.Params) -> optax.Params:
    return jax.tree.map_with_path(
        lambda path, leaf: leaf.ndim > 1 and path[-1].key != "peepholes", params
    )
