"""What the tests of cells and of `unroll` walk over: every cell with each of its options."""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import CELLS
from rnnjax.stack import Stack

BATCH, STEPS, FEATURES, UNITS = 3, 7, 5, 4


class Case(NamedTuple):
    name: str  # in CELLS
    options: dict[str, Any]


class Example(NamedTuple):
    variables: Any
    carry: Any  # leaves [B, ...]
    inputs: jax.Array  # [B, T, F]


def softsign(x: Any) -> Any:
    """An activation that is not the default, for NumPy's arrays and JAX's alike."""
    return x / (1 + abs(x))


CASES = [
    Case("rnn", {}),
    Case("rnn", {"activation": softsign}),
    Case("gru", {}),
    Case("gru", {"activation": softsign}),
    Case("gru", {"reset_after": True}),
    Case("lstm", {}),
    Case("lstm", {"activation": softsign}),
    Case("lstm", {"forget_bias": 0.0}),
    Case("lstm", {"use_peepholes": True}),
    Case("lstm", {"cell_clip": 0.5}),
    Case("lstm", {"projection_size": 3}),
    Case("lstm", {"projection_size": 3, "projection_clip": 0.25}),
    Case(
        "lstm",
        {
            "activation": softsign,
            "forget_bias": 0.5,
            "use_peepholes": True,
            "cell_clip": 0.5,
            "projection_size": 3,
            "projection_clip": 0.25,
        },
    ),
]


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


def example(cell: nn.RNNCellBase, dtype: str) -> Example:
    """Returns variables, a carry and inputs for a cell, all of them random normal."""
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, FEATURES))
    variables = jax.eval_shape(cell.init, jax.random.key(0), carry, jnp.ones((BATCH, FEATURES)))
    inputs = cast(Any, jax.ShapeDtypeStruct((BATCH, STEPS, FEATURES), dtype))
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype),
        Example(variables, carry, inputs),
    )


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
