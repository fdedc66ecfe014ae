"""Prints every registered cell: `python -m rnnjax.cells`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import CELLS

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
    print(
        f"Parameters and states at H={UNITS}; F={FEATURES} inputs, or an image {FEATURES} wide.\n"
    )
    rows = [("cell", "parameters", "states", "source"), *(row(name) for name in CELLS)]
    widths = [max(len(line[n]) for line in rows) for n in range(3)]
    for name, size, states, source in rows:
        print(f"{name:{widths[0]}}  {size:>{widths[1]}}  {states:{widths[2]}}  {source}")


if __name__ == "__main__":
    main()
