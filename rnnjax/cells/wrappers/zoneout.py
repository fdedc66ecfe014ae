"""Zoneout around a cell."""

import jax
import jax.numpy as jnp

from rnnjax.cells.base import Cell
from rnnjax.cells.types import Carry, KeyPath
from rnnjax.cells.wrappers.base import Wrapper
from rnnjax.cells.wrappers.learned_carry import LearnedCarry
from rnnjax.cells.wrappers.noise import draw_mask, is_hidden, name_of


class ZoneoutCell(Wrapper):
    """Keeps units of the state as they were, at random (Krueger et al., 2017).

    In training each unit keeps its old value with a probability of its own field's; in evaluation
    it takes the expectation, `p * old + (1 - p) * new`. Where the inner cell's output is a field of
    its carry (`Cell.output_field`), the output is that field after zoneout, as in the paper; the
    output of a wrapped cell, or of flax's, is left as it is. Of a learned carry inside, the first
    step is left as it is as well. Needs the random stream `dropout` unless `deterministic`.

    Attributes (and those of `Wrapper`):
      hidden_prob: of fields named `hidden`, and of states without names, as flax's.
      cell_prob: of fields named `cell`, an LSTM's memory; not an sLSTM's, which is scaled.
      deterministic: True takes the expectation, for evaluation.
    """

    hidden_prob: float = 0.0
    cell_prob: float = 0.0
    deterministic: bool = False

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, jax.Array]:
        self._check(carry)
        new_carry, outputs = self.inner(carry, inputs)
        new_carry = self._zone_out(carry, new_carry)
        if isinstance(self.inner, Cell) and self.inner.output_field is not None:
            outputs = getattr(new_carry, self.inner.output_field).astype(outputs.dtype)
        return new_carry, outputs

    def _zone_out(self, old: Carry, new: Carry) -> Carry:
        if isinstance(new, LearnedCarry):
            # What it started from only the cell inside knows.
            zoned = self._zone_out(old.inner, new.inner)
            return LearnedCarry(_where(old.started, zoned, new.inner), new.started)
        return jax.tree_util.tree_map_with_path(
            self._zone_out_leaf, old, new, is_leaf=lambda node: isinstance(node, LearnedCarry)
        )

    def _zone_out_leaf(self, path: KeyPath, old: Carry, new: Carry) -> Carry:
        if isinstance(new, LearnedCarry):
            return self._zone_out(old, new)
        prob = self._prob(path, new)
        if prob == 0:
            return new
        if self.deterministic:
            return prob * old + (1 - prob) * new
        return jnp.where(draw_mask(self.make_rng("dropout"), prob, new), old, new)

    def _prob(self, path: KeyPath, leaf: jax.Array) -> float:
        if name_of(path) == "cell":
            return self.cell_prob
        return self.hidden_prob if is_hidden(path, leaf) else 0.0

    def _check(self, carry: Carry) -> None:
        leaves = jax.tree_util.tree_leaves_with_path(carry)
        names = [name_of(path) for path, _ in leaves]
        applicable = {
            "hidden_prob": any(is_hidden(path, leaf) for path, leaf in leaves),
            "cell_prob": "cell" in names and "normalizer" not in names,
        }
        for name, applies in applicable.items():
            prob = getattr(self, name)
            if not 0 <= prob <= 1:
                raise ValueError(f"ZoneoutCell: {name} must lie in [0, 1], got {prob}")
            if prob > 0 and not applies:
                raise ValueError(
                    f"ZoneoutCell: {name} must be 0 around a cell with a {type(carry).__name__}, "
                    f"which has nothing for it, got {prob}"
                )


def _where(started: jax.Array, old: Carry, new: Carry) -> Carry:
    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(started.reshape(started.shape + (1,) * (a.ndim - started.ndim)), a, b)

    return jax.tree.map(choose, old, new)
