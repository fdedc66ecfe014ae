"""Cells over time in both directions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.noise import check_keep_prob, drop
from rnnjax.recurrent.stack import check_distinct, check_layers
from rnnjax.recurrent.unroll import Unrolled, unroll


class BidirectionalCarry(NamedTuple):
    forward: Carry  # after the last step that counts
    backward: Carry  # after the first step


class Bidirectional(nn.Module):
    """Two cells over the same sequences, one of them backwards: TF1's `bidirectional_dynamic_rnn`.

    With lengths, the backward cell starts at each sequence's own last step; both outputs of a step
    stand at that step (Schuster & Paliwal, 1997).

    >>> import jax, jax.numpy as jnp
    >>> from rnnjax.recurrent import Bidirectional
    >>> from rnnjax.cells import GRUCell
    >>> model, inputs = Bidirectional(GRUCell(4), GRUCell(4)), jnp.ones((2, 7, 3))
    >>> outputs, variables = model.init_with_output(
    ...     jax.random.key(0), inputs, lengths=jnp.array([7, 3])
    ... )
    >>> outputs.outputs.shape, outputs.carry.backward.hidden.shape
    ((2, 7, 8), (2, 4))

    Attributes:
      forward: the cell that goes from the first step to the last.
      backward: the cell that goes from the last step to the first; another object.
    """

    forward: nn.RNNCellBase
    backward: nn.RNNCellBase

    def __call__(
        self, inputs: jax.Array, *, initial_carry: BidirectionalCarry | None = None, **options: Any
    ) -> Unrolled:
        """Returns the outputs `[B, T, H_forward + H_backward]` and both carries.

        With `return_outputs="last"`, `[B, H_forward + H_backward]`: what each cell put out at the
        last step it took.

        Args:
          inputs: `[B, T, F]`, or as the options say.
          initial_carry: of both cells; None: their own.
          **options: all others of `rnnjax.unroll`, the same for both.

        Raises:
          ValueError: as `unroll` does, or if both cells are one object.
        """
        check_distinct(self, "forward or backward", (self.forward, self.backward))
        if "reverse" in options:
            raise ValueError("Bidirectional: reverse must not be given, it runs both ways")
        carries = initial_carry if initial_carry is not None else BidirectionalCarry(None, None)
        if not isinstance(carries, BidirectionalCarry):
            raise ValueError(
                f"Bidirectional: initial_carry must be a BidirectionalCarry, got a "
                f"{type(carries).__name__}"
            )
        forward = unroll(self.forward, inputs, initial_carry=carries.forward, **options)
        backward = unroll(
            self.backward, inputs, initial_carry=carries.backward, reverse=True, **options
        )
        outputs = jnp.concatenate([forward.outputs, backward.outputs], axis=-1)
        return Unrolled(outputs, BidirectionalCarry(forward.carry, backward.carry))


class StackedBidirectional(nn.Module):
    """Layers in both directions, each over both outputs of the layer below.

    TF1's `stack_bidirectional_dynamic_rnn`, and what torch does with several layers.

    Attributes:
      layers: the one that sees the inputs first; no layer twice.
      between_keep_prob: probability that an output feature is kept on its way to the next layer;
        needs the random stream `dropout`.
      deterministic: True switches this dropout off, for evaluation.
    """

    layers: Sequence[Bidirectional]
    between_keep_prob: float = 1.0
    deterministic: bool = False

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: tuple[BidirectionalCarry, ...] | None = None,
        return_outputs: str = "all",
        **options: Any,
    ) -> Unrolled:
        """Returns the last layer's outputs, and a tuple of the layers' carries.

        Args:
          inputs: `[B, T, F]`, or as the options say.
          initial_carry: of each layer; None: their own.
          return_outputs: of the last layer: "all", `[B, T, H]`, or "last", `[B, H]`, H being both
            cells' features together.
          **options: all others of `rnnjax.unroll`, the same for all.

        Raises:
          ValueError: as `Bidirectional` does, or if there are no layers, or one of them twice.
        """
        check_layers(self, "layers")
        check_keep_prob(self, "between_keep_prob")
        starts = [None] * len(self.layers) if initial_carry is None else initial_carry
        if len(starts) != len(self.layers):
            raise ValueError(
                f"StackedBidirectional: initial_carry must have one carry for each of "
                f"{len(self.layers)} layers, got {len(starts)}"
            )
        carries = []
        for n, (layer, start) in enumerate(zip(self.layers, starts, strict=True)):
            if n > 0 and self.between_keep_prob < 1 and not self.deterministic:
                inputs = drop(self.make_rng("dropout"), inputs, self.between_keep_prob)
            is_top = n + 1 == len(self.layers)
            which = return_outputs if is_top else "all"
            inputs, carry = layer(inputs, initial_carry=start, return_outputs=which, **options)
            carries.append(carry)
        return Unrolled(inputs, tuple(carries))
