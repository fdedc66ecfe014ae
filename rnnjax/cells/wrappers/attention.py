"""Attention of a cell over its own last outputs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from rnnjax.cells import base
from rnnjax.cells.initializers import diagonal_init
from rnnjax.cells.linear import affine
from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.base import Wrapper


class AttentionCarry(NamedTuple):
    inner: Carry  # the inner cell's carry
    attention: jax.Array  # [..., A], what was attended to
    window: jax.Array  # [..., N, A], the last outputs, the oldest first


class AttentionCell(Wrapper):
    """Attends over its last N outputs: TF1's `AttentionCellWrapper` (Bahdanau et al., 2015).

    .. code-block:: text

      x' = [x, a] W_x + b_x                               as many features as x
      carry, y = inner(carry, x')
      s_n = v . tanh(w_n W_w + carry' W_q + b_q)          for each output w_n in the window
      a' = sum over n of softmax(s)_n w_n
      y' = [y, a'] W_y + b_y                              A features; the newest in the window

    carry' is all of the inner carry's floats in a row, Q of them. The window starts with zeros, to
    which it attends as well, as in TF1. Parameters: input_kernel `[F + A, F]`, input_bias,
    window_kernel `[A, V]`, query_kernel `[Q, V]`, query_bias, score `[V]`, output_kernel
    `[H + A, A]`, output_bias.

    Attributes (and those of `Wrapper`):
      length: outputs N in the window.
      size: features A of the outputs and of the attention.
      score_size: features V that scores are computed from; None: A.
      kernel_init: of the weights.
      dtype: of the products; None: that of the parameters.
      param_dtype: of the parameters and of the initial carry.
    """

    length: int
    size: int
    score_size: int | None = None
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, carry: AttentionCarry, inputs: jax.Array
    ) -> tuple[AttentionCarry, jax.Array]:
        base.check_positive(self, "length", "size", "score_size")
        if not isinstance(carry, AttentionCarry):
            raise ValueError(
                f"AttentionCell: carry must be an AttentionCarry, got a {type(carry).__name__}"
            )
        if self.num_feature_axes != 1:
            raise ValueError(
                f"AttentionCell: inner must take inputs [..., F], got {type(self.inner).__name__} "
                f"with {self.num_feature_axes} feature axes"
            )
        seen = self._affine("input", (inputs, carry.attention), inputs.shape[-1])
        new_inner, outputs = self.inner(carry.inner, seen)

        states = [leaf for leaf in jax.tree.leaves(new_inner) if leaf.dtype != bool]
        batch_axes = inputs.ndim - 1
        query = [
            leaf.reshape(*leaf.shape[:batch_axes], math.prod(leaf.shape[batch_axes:]))
            for leaf in states
        ]
        width = self.size if self.score_size is None else self.score_size
        window_kernel = self._weight("window_kernel", self.size, width)
        score = base.cast(
            self.param("score", diagonal_init, (width,), self.param_dtype), self.dtype
        )
        keys = carry.window.astype(window_kernel.dtype) @ window_kernel
        scores = jnp.tanh(keys + self._affine("query", query, width)[..., None, :]) @ score
        weights = jax.nn.softmax(scores.astype(carry.window.dtype), axis=-1)
        attention = jnp.sum(weights[..., None] * carry.window, axis=-2)

        outputs = self._affine("output", (outputs, attention), self.size)
        newest = outputs.astype(carry.window.dtype)[..., None, :]
        window = jnp.concatenate([carry.window[..., 1:, :], newest], axis=-2)
        return AttentionCarry(new_inner, attention, window), outputs

    def _weight(self, name: str, rows: int, columns: int) -> jax.Array:
        kernel = self.param(name, self.kernel_init, (rows, columns), self.param_dtype)
        return base.cast(kernel, self.dtype)

    def _affine(self, name: str, parts: Sequence[jax.Array], columns: int) -> jax.Array:
        """Returns `[..., columns]`, an affine function of all the parts together."""
        kernel = self._weight(f"{name}_kernel", sum(part.shape[-1] for part in parts), columns)
        bias = self.param(f"{name}_bias", nn.initializers.zeros, (columns,), self.param_dtype)
        return affine(parts, kernel, base.cast(bias, self.dtype))

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> AttentionCarry:
        base.check_positive(self, "length", "size", "score_size")
        batch_shape = input_shape[:-1]
        return AttentionCarry(
            inner=self.inner.initialize_carry(rng, input_shape),
            attention=jnp.zeros((*batch_shape, self.size), self.param_dtype),
            window=jnp.zeros((*batch_shape, self.length, self.size), self.param_dtype),
        )
