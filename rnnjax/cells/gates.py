"""Gates between 0 and 1, computed under their names, so that they can be watched."""

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float

PREFIX = "gate_"  # of the scope that holds a gate's operations, in programs and their profiles


def gate(name: str, x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
    """Returns the sigmoid of a gate's argument.

    A run's summaries show how open it is, unless it is in a loop, or in a `jax.jit` or a
    `jax.checkpoint`, of the cell's own. Gates of one name are shown together.
    """
    with jax.named_scope(f"{PREFIX}{name}"):
        return jax.nn.sigmoid(x)


def gates(names: Sequence[str], arguments: Sequence[Array]) -> list[Array]:
    """Returns `gate` of each argument."""
    return [gate(name, x) for name, x in zip(names, arguments, strict=True)]
