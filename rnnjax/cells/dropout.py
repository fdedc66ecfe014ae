"""Dropout around a cell, as TF1's `DropoutWrapper`."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class DropoutCell(nn.RNNCellBase):
    """Drops parts of a cell's inputs, outputs and new state, each with its own probability.

    What is kept is divided by the probability of keeping it (Srivastava et al., 2014); each step
    has masks of its own. The output is dropped on its way out only, not in the carry; of the state
    only fields named `hidden` are dropped: no memory, as in TF1, and no count of time. flax's own
    LSTM has no names in its carry: all of it is dropped. Needs the random stream `dropout` unless
    `deterministic`; `flax.linen.RNN` must be told to split it over time.

    Attributes:
      inner: the cell.
      input_keep_prob: probability that an input feature is kept.
      output_keep_prob: probability that an output feature is kept.
      state_keep_prob: probability that a unit of the new hidden state is kept.
      deterministic: True switches all dropout off, for evaluation.
    """

    inner: nn.RNNCellBase
    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    deterministic: bool = False

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        new_carry, outputs = self.inner(carry, self._keep(inputs, "input_keep_prob"))

        def keep_state(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            name = getattr(path[-1], "name", None) if path else None
            return self._keep(leaf, "state_keep_prob") if name in ("hidden", None) else leaf

        new_carry = jax.tree_util.tree_map_with_path(keep_state, new_carry)
        return new_carry, self._keep(outputs, "output_keep_prob")

    def _keep(self, x: jax.Array, name: str) -> jax.Array:
        keep_prob = getattr(self, name)
        if not 0 < keep_prob <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, got {keep_prob}")
        if self.deterministic or keep_prob == 1:
            return x
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep_prob, x.shape)
        return jnp.where(mask, x / keep_prob, jnp.zeros_like(x))

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        return self.inner.initialize_carry(rng, input_shape)

    @property
    def num_feature_axes(self) -> int:
        return self.inner.num_feature_axes
