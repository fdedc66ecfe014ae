"""Noise around a cell: dropout and zoneout."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells.base import Cell
from rnnjax.cells.wrapper import Wrapper

# The random stream whose key is the same at each step: `unroll` does not split it over time.
VARIATIONAL = "variational_dropout"


def drop(key: jax.Array, x: jax.Array, keep_prob: float) -> jax.Array:
    """Sets entries to 0 and divides the others by the probability of keeping them."""
    mask = jax.random.bernoulli(key, keep_prob, x.shape)
    return jnp.where(mask, x / keep_prob, jnp.zeros_like(x))


def check_keep_prob(cell: Any, *names: str) -> None:
    """Raises a ValueError if one of these fields is no probability to keep something."""
    for name in names:
        value = getattr(cell, name)
        if not 0 < value <= 1:
            raise ValueError(
                f"{type(cell).__name__}: {name} must be above 0 and at most 1, got {value}"
            )


class DropoutCell(Wrapper):
    """Drops parts of a cell's inputs, outputs and new state: TF1's `DropoutWrapper`.

    What is kept is divided by the probability of keeping it (Srivastava et al., 2014). The output
    is dropped on its way out only, not in the carry; of the state, fields named `hidden` are
    dropped, not an LSTM's memory, both as in TF1. A state without names, as flax's, is dropped
    whole. The masks are new at each step, from the random stream `dropout`; or, with `variational`,
    one for all of time (Gal & Ghahramani, 2016), from the stream `variational_dropout`:
    `rngs={"dropout": key, "variational_dropout": key}`. In `flax.linen.RNN` that takes
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

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        check_keep_prob(self, "input_keep_prob", "output_keep_prob", "state_keep_prob")
        new_carry, outputs = self.inner(carry, self._drop(inputs, self.input_keep_prob))
        if self.state_keep_prob < 1:
            states = [path for path, leaf in _leaves(new_carry) if _is_hidden(path, leaf)]
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


class ZoneoutCell(Wrapper):
    """Keeps units of the state as they were, at random (Krueger et al., 2017).

    In training each unit keeps its old value with a probability of its own field's; in evaluation
    it takes the expectation, `p * old + (1 - p) * new`. Where the inner cell's output is a field of
    its carry (`Cell.output_field`), the output is that field after zoneout, as in the paper; the
    output of a wrapped cell, or of flax's, is left as it is. Needs the random stream `dropout`
    unless `deterministic`.

    Attributes (and those of `Wrapper`):
      hidden_prob: of fields named `hidden`, and of states without names, as flax's.
      cell_prob: of fields named `cell`, an LSTM's memory.
      deterministic: True takes the expectation, for evaluation.
    """

    hidden_prob: float = 0.0
    cell_prob: float = 0.0
    deterministic: bool = False

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        for name in ("hidden_prob", "cell_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"ZoneoutCell: {name} must lie in [0, 1], got {getattr(self, name)}"
                )
        new_carry, outputs = self.inner(carry, inputs)
        new_carry = jax.tree_util.tree_map_with_path(self._zone_out, carry, new_carry)
        if isinstance(self.inner, Cell) and self.inner.output_field is not None:
            outputs = getattr(new_carry, self.inner.output_field).astype(outputs.dtype)
        return new_carry, outputs

    def _zone_out(self, path: tuple[Any, ...], old: jax.Array, new: jax.Array) -> jax.Array:
        is_cell = _name(path) == "cell"
        prob = self.cell_prob if is_cell else self.hidden_prob if _is_hidden(path, new) else 0.0
        if prob == 0:
            return new
        if self.deterministic:
            return prob * old + (1 - prob) * new
        return jnp.where(jax.random.bernoulli(self.make_rng("dropout"), prob, new.shape), old, new)


def _leaves(carry: Any) -> list[tuple[tuple[Any, ...], jax.Array]]:
    return jax.tree_util.tree_leaves_with_path(carry)


def _name(path: tuple[Any, ...]) -> str | None:
    """Returns the name of the field that holds a leaf, if it has one."""
    return getattr(path[-1], "name", None) if path else None


def _is_hidden(path: tuple[Any, ...], leaf: jax.Array) -> bool:
    return _name(path) in ("hidden", None) and jnp.issubdtype(leaf.dtype, jnp.floating)
