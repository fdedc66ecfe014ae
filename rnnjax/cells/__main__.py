"""Prints every registered cell: `python -m rnnjax.cells`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import CELLS
from rnnjax.system import command_line
from rnnjax.system.messages import say

UNITS, FEATURES = 256, 28


def row(name: str) -> tuple[str, str, str, str]:
    """Returns a cell's name, number of parameters, states and source."""
    cell = CELLS[name](UNITS)
    # An image has one channel, for a cell with space axes.
    shape = (
        (FEATURES,)
        if cell.num_feature_axes == 1
        else (FEATURES,) * (cell.num_feature_axes - 1) + (1,)
    )

    def init() -> tuple[Any, Any]:  # of shapes alone, for which no device is started
        key, inputs = jax.random.key(0), jnp.ones(shape)
        carry = cell.initialize_carry(key, shape)
        return carry, cell.init(key, carry, inputs)

    carry, variables = jax.eval_shape(init)
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables))
    states = ", ".join(
        f"{field} {'x'.join(map(str, leaf.shape))}"
        for field, leaf in zip(carry._fields, carry, strict=True)
    )
    return name, f"{size:,}", states, cell.source


def main() -> None:
    command_line.prepare()
    with command_line.errors_as_lines(is_listing=True):
        say(table())


def table() -> str:
    """Returns a line for each cell, below a heading."""
    title = f"Parameters and states at H={UNITS}; F={FEATURES} inputs, or an image {FEATURES} wide."
    rows = [("cell", "parameters", "states", "source"), *(row(name) for name in CELLS)]
    widths = [max(len(line[n]) for line in rows) for n in range(3)]
    lines = [
        f"{name:{widths[0]}}  {size:>{widths[1]}}  {states:{widths[2]}}  {source}"
        for name, size, states, source in rows
    ]
    return "\n".join((title, "", *lines))


if __name__ == "__main__":
    main()
