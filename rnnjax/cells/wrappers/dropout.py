"""Dropout around a cell."""

import jax

from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.base import Wrapper
from rnnjax.cells.wrappers.noise import VARIATIONAL, check_keep_prob, drop, is_hidden


class DropoutCell(Wrapper):
    """Drops parts of a cell's inputs, outputs and new state: TF1's `DropoutWrapper`.

    What is kept is divided by the probability of keeping it (Srivastava et al., 2014). The output
    is dropped on its way out only, not in the carry; of the state, fields named `hidden` are
    dropped, not an LSTM's memory, both as in TF1. A state without names, as flax's, is dropped
    whole. Dropping the state is made for cells with a memory beside it: a GRU copies its hidden
    state on, so that what is kept grows by 1 / keep_prob with every step. There, and in a minimal
    or convex cell like it, take `ZoneoutCell`.

    The masks are new at each step, from the random stream `dropout`; or, with `variational`, one
    for all of time (after Gal & Ghahramani, 2016), from the stream `variational_dropout`:
    `rngs={"dropout": key, "variational_dropout": key}`. Each example has its own; TF1's variational
    masks are one for the whole batch. In `flax.linen.RNN` that takes
    `split_rngs={"params": False, "dropout": True, "variational_dropout": False}`.

    Attributes (and those of `Wrapper`):
      input_keep_prob: probability that an input feature is kept.
      output_keep_prob: probability that an output feature is kept.
      state_keep_prob: probability that a unit of the new hidden state is kept.
      variational: the same masks at each step.
      deterministic: True switches all dropout off, for evaluation.
    """

    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    variational: bool = False
    deterministic: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is dropped, so that this is its inner cell."""
        check_keep_prob(self, "input_keep_prob", "output_keep_prob", "state_keep_prob")
        probs = (self.input_keep_prob, self.output_keep_prob, self.state_keep_prob)
        return self.deterministic or all(prob == 1 for prob in probs)

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, jax.Array]:
        check_keep_prob(self, "input_keep_prob", "output_keep_prob", "state_keep_prob")
        new_carry, outputs = self.inner(carry, self._drop(inputs, self.input_keep_prob))
        if self.state_keep_prob < 1:
            leaves = jax.tree_util.tree_leaves_with_path(new_carry)
            states = [path for path, leaf in leaves if is_hidden(path, leaf)]
            if not states:
                raise ValueError(
                    f"DropoutCell: state_keep_prob={self.state_keep_prob} finds no hidden state to "
                    f"drop in a {type(new_carry).__name__}"
                )
            new_carry = jax.tree_util.tree_map_with_path(
                lambda path, leaf: (
                    self._drop(leaf, self.state_keep_prob) if path in states else leaf
                ),
                new_carry,
            )
        return new_carry, self._drop(outputs, self.output_keep_prob)

    def _drop(self, x: jax.Array, keep_prob: float) -> jax.Array:
        if self.deterministic or keep_prob == 1:
            return x
        return drop(self.make_rng(VARIATIONAL if self.variational else "dropout"), x, keep_prob)
