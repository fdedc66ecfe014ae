"""What the tests of cells and of `unroll` walk over: every cell with each of its options."""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import CELLS
from rnnjax.stack import Stack
from tests.references.common import Case

BATCH, STEPS, UNITS = 3, 7, 4

# An input of each number of feature axes: [F], or an image of as many dimensions with C channels.
INPUT_SHAPES = {1: (5,), 2: (6, 2), 3: (5, 4, 2), 4: (4, 3, 3, 2)}


class Example(NamedTuple):
    variables: Any
    carry: Any  # leaves [B, ...]
    inputs: jax.Array  # [B, T, F], or an image in place of F


def label(case: Case) -> str:
    """Returns a test's id, such as `gru-reset_after`."""
    return "-".join((case.name, *case.options))


def build(*layers: Case, **fields: Any) -> Any:
    """Returns the case's cell, or a stack of several; further fields overrule the cases' own."""
    cells: list[Any] = []
    for layer in layers:
        cell_type: Any = CELLS[layer.name]
        cells.append(cell_type(**{"features": UNITS} | layer.options | fields))
    return cells[0] if len(cells) == 1 else Stack(cells)


def example(cell: nn.RNNCellBase, dtype: str, shape: tuple[int, ...] | None = None) -> Example:
    """Returns variables, a carry and inputs for a cell, all of them random normal.

    `shape` is that of a step's inputs; None: the usual one of the cell's number of feature axes.
    Only what divides, a field named `normalizer`, is kept away from 0.
    """
    shape = shape or INPUT_SHAPES[cell.num_feature_axes]
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, *shape))
    variables = jax.eval_shape(cell.init, jax.random.key(0), carry, jnp.ones((BATCH, *shape)))
    inputs = cast(Any, jax.ShapeDtypeStruct((BATCH, STEPS, *shape), dtype))
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape)
        if getattr(path[-1], "name", None) == "normalizer":
            values = 1 + np.abs(values)
        return jnp.asarray(values, dtype)

    return jax.tree_util.tree_map_with_path(draw, Example(variables, carry, inputs))


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-12, message: str = "") -> None:
    """Fails where two trees of arrays differ by more than the tolerance, absolute."""
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=tolerance, err_msg=message),
        actual,
        expected,
    )


def assert_equal(actual: Any, expected: Any) -> None:
    """Fails where two trees of arrays differ at all."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
