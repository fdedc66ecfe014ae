"""The cells that tests are parametrised over, their examples, and comparisons of trees."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import (
    CELLS,
    AttentionCell,
    DropoutCell,
    HighwayCell,
    LearnedCarryCell,
    LSTMCell,
    ResidualCell,
    ZoneoutCell,
)
from rnnjax.compat import xla_knows
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import Unrolled, unroll
from tests.references.common import Case

BATCH, STEPS, UNITS = 3, 7, 4

# An input of each number of feature axes: [F], or an image of as many dimensions with C channels.
INPUT_SHAPES = {1: (6,), 2: (6, 2), 3: (5, 4, 2), 4: (4, 3, 3, 2)}

# From random normal values to those of a parameter or a state that divides.
RANGES: dict[Any, Callable[[Any], Any]] = {
    "normalizer": lambda v: 1 + abs(v),
    "period": lambda v: 10 * (1 + abs(v)),  # in steps: it cycles within the few of a test
    "ratio_on": lambda v: 1 / (1 + abs(v)),
}


# A third of the time to compile a large program, for tests that XLA's optimizations are no part of.
UNOPTIMIZED: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
if xla_knows("--xla_cpu_use_fusion_emitters=false"):  # JAX 0.12 has no others
    UNOPTIMIZED["xla_cpu_use_fusion_emitters"] = False
jit_unoptimized = functools.partial(jax.jit, compiler_options=UNOPTIMIZED)
# Also for tests of rounding: XLA might leave out a conversion to bfloat16 and back. Operations one
# by one, which it does not either, take five times as long to compile.
jit_faithful = functools.partial(
    jax.jit, compiler_options=UNOPTIMIZED | {"xla_allow_excess_precision": False}
)


# Each wrapper, drawing at random if it can, around a cell for inputs [B, T, UNITS].
WRAPPED: dict[str, nn.RNNCellBase] = {
    "dropout": DropoutCell(
        LSTMCell(UNITS), input_keep_prob=0.5, state_keep_prob=0.5, deterministic=False
    ),
    "zoneout": ZoneoutCell(LSTMCell(UNITS), deterministic=False),
    "highway": HighwayCell(LSTMCell(UNITS)),
    "residual": ResidualCell(LSTMCell(UNITS)),
    "attention": AttentionCell(LSTMCell(UNITS), length=3, size=UNITS),
    "learned_carry": LearnedCarryCell(LSTMCell(UNITS)),
}


class Example(NamedTuple):
    variables: Any
    carry: Any  # leaves [B, ...]
    inputs: jax.Array  # [B, T, F], or an image in place of F


def label(case: Case) -> str:
    """Returns a test's id, such as `gru-reset_after` or `qrnn-pooling=f`."""
    options = (f"{k}={v}" if isinstance(v, str) else k for k, v in case.options.items())
    return "-".join((case.name, *options))


def build(*layers: Case, **fields: Any) -> Any:
    """Returns the case's cell, or a stack of several; further fields overrule the cases' own."""
    cells: list[Any] = []
    for layer in layers:
        cell_type: Any = CELLS[layer.name]
        cells.append(cell_type(**{"features": UNITS} | layer.options | fields))
    return cells[0] if len(cells) == 1 else Stack(cells)


def example(cell: nn.RNNCellBase, dtype: str) -> Example:
    """Returns variables, a carry and inputs for a cell, all of them random normal.

    Values that divide are away from 0 (`RANGES`), and a convolution's weights are the smaller,
    the more taps it sums over. With B = BATCH and T = STEPS, the inputs are `[B, T, F]`, or for a
    cell with several feature axes `[B, T, *INPUT_SHAPES[axes]]`; carries have leaves `[B, ...]`.
    """
    shape = INPUT_SHAPES[cell.num_feature_axes]
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, *shape))
    variables = jax.eval_shape(cell.init, jax.random.key(0), carry, jnp.ones((BATCH, *shape)))
    inputs = cast(Any, jax.ShapeDtypeStruct((BATCH, STEPS, *shape), dtype))
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape)
        name = getattr(path[-1], "name", None) or getattr(path[-1], "key", None)
        if name == "kernel":
            values /= math.sqrt(math.prod(leaf.shape[:-2]))
        return jnp.asarray(RANGES.get(name, lambda v: v)(values), dtype)

    return jax.tree_util.tree_map_with_path(draw, Example(variables, carry, inputs))


def shapes(case: Case, without: str | None = None) -> Any:
    """Returns the shapes of a case's parameters and carry, with one option left out."""
    cell = build(Case(case.name, {k: v for k, v in case.options.items() if k != without}))
    structs = jax.eval_shape(lambda: example(cell, "float32"))
    return jax.tree.map(jnp.shape, (structs.variables["params"], structs.carry._asdict()))


def run(cell: nn.RNNCellBase, *args: Any, **options: Any) -> Unrolled:
    """Unrolls a cell in a compiled program; only arrays among the options are traced."""
    arrays = {k: v for k, v in options.items() if k in ("initial_carry", "lengths", "rngs")}
    fixed = {k: v for k, v in options.items() if k not in arrays}
    return jit_unoptimized(functools.partial(nn.apply(unroll, cell), **fixed))(*args, **arrays)


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-12, message: str = "") -> None:
    """Fails where two trees of arrays differ by more than the tolerance.

    It is absolute up to 1 and relative above: a float32 near 16 has steps of 2e-6.
    """

    def check(a: Any, e: Any) -> None:
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        scale = np.maximum(1, np.abs(e))
        np.testing.assert_allclose(a / scale, e / scale, rtol=0, atol=tolerance, err_msg=message)

    jax.tree.map(check, actual, expected)


def assert_equal(actual: Any, expected: Any) -> None:
    """Fails where two trees of arrays differ at all."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
