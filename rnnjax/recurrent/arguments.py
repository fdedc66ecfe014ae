"""What `unroll` asks of its arguments; a ValueError names which is wrong, and what came."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int, Shaped

from rnnjax.cells.types import Carry

T = TypeVar("T")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")


def check_count(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def with_named_shapes(run: Callable[..., T]) -> Callable[..., T]:
    """Turns flax's error of parameters that do not go with the inputs into a ValueError."""

    def run_named(cell: nn.RNNCellBase, state: Any, xs: Any) -> T:
        try:
            return run(cell, state, xs)
        except flax.errors.ScopeParamShapeError as error:
            shapes = sorted({leaf.shape for leaf in jax.tree.leaves(xs)})
            raise ValueError(
                f"{type(cell).__name__}: inputs, here of shapes {shapes} with the time first, do "
                f"not go with the parameters given: {str(error).split(' (https')[0]}"
            ) from error

    return run_named


def check_cell(cell: object) -> None:
    """Raises a ValueError unless it is a cell that is bound to its parameters."""
    if isinstance(cell, list | tuple):
        raise ValueError("cell must be one cell, got several; Stack([...]) makes one of them")
    if not isinstance(cell, nn.RNNCellBase):
        raise ValueError(f"cell must be a flax.linen.RNNCellBase, got a {type(cell).__name__}")
    if cell.scope is None:
        raise ValueError(
            f"{type(cell).__name__} has no parameters outside of a module: "
            "nn.apply(unroll, cell)(variables, inputs) runs it with its parameters, "
            "nn.init(unroll, cell)(key, inputs) makes them"
        )


def check_inputs(
    inputs: ArrayLike, num_feature_axes: int, time_major: bool
) -> Shaped[Array | np.ndarray, "..."]:
    """Returns inputs `[B, T, ...]`, or `[T, B, ...]` if `time_major`, once they are that."""
    # Where a user has it look for NaN, JAX does so on taking an array; the padding may have some.
    array: Any = inputs if isinstance(inputs, np.ndarray) else jnp.asarray(inputs)
    rank = 2 + num_feature_axes
    if array.ndim != rank:
        layout = "[T, B, ...]" if time_major else "[B, T, ...]"
        raise ValueError(f"inputs must be {layout} with {rank} axes, got shape {array.shape}")
    if array.shape[0 if time_major else 1] == 0:
        raise ValueError(f"inputs must have at least one step, got shape {array.shape}")
    return array


def check_chunks(
    num_steps: Any, remat: bool, truncate_every: int | None, unroll_factor: int
) -> None:
    """Raises a ValueError for chunks that are no number, or of steps that have none."""
    check_count("unroll_factor", unroll_factor)
    if truncate_every is not None:
        check_count("truncate_every", truncate_every)
    in_parts = remat or truncate_every is not None or unroll_factor > 1
    if in_parts and not isinstance(num_steps, int):
        raise ValueError(
            "remat, truncate_every and unroll_factor need a number of steps that is known, got "
            f"{num_steps}; export without them, or with a fixed length"
        )


def checked_lengths(
    lengths: ArrayLike | None, batch_size: int, num_steps: int
) -> Int[Array, " {batch_size}"] | None:
    """Returns the lengths as int32 `[B]` in [0, T]; None if there are none.

    T may be a symbol, which acts as an int, while a program for any T is exported.
    """
    if lengths is None:
        return None
    # Under jit they have no values yet; of several processes, each has its part only.
    is_known = not isinstance(lengths, Tracer) and getattr(lengths, "is_fully_addressable", True)
    is_known &= isinstance(num_steps, int)
    array = np.asarray(lengths) if is_known else jnp.asarray(lengths)
    if array.shape != (batch_size,) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"lengths must be integers of shape ({batch_size},), got {array.dtype} of shape "
            f"{array.shape}"
        )
    if isinstance(array, np.ndarray) and (wrong := array[(array < 0) | (array > num_steps)]).size:
        raise ValueError(f"lengths must lie in [0, {num_steps}], got {wrong.tolist()}")
    return jnp.clip(jnp.asarray(array).astype(jnp.int32), 0, num_steps)


def checked_flags(
    name: str, flags: ArrayLike | None, batch_size: int, num_steps: int, time_major: bool
) -> Bool[Array, "{num_steps} {batch_size}"] | None:
    """Returns what is true or false of each step, given as the inputs lie, with the time first."""
    if flags is None:
        return None
    array = jnp.asarray(flags)
    shape = (num_steps, batch_size) if time_major else (batch_size, num_steps)
    if array.shape != shape or array.dtype != bool:
        raise ValueError(f"{name} must be bool of shape {shape}, got {array.dtype}{array.shape}")
    return array if time_major else array.T


def checked_initial_carry(carry: Carry, expected: Carry) -> Carry:
    """Returns the carry, which must be built as the cell's own is; that one if none is given."""
    if carry is None:
        return expected
    if jax.tree.structure(carry) != jax.tree.structure(expected):
        raise ValueError(
            "initial_carry must be built like the cell's own, "
            f"{jax.tree.map(jnp.shape, expected)}, got {jax.tree.map(jnp.shape, carry)}"
        )
    expected_leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (path, own_leaf), leaf in zip(expected_leaves, jax.tree.leaves(carry), strict=True):
        name = f"initial_carry{jax.tree_util.keystr(path)}"
        if jnp.shape(leaf) != own_leaf.shape:
            raise ValueError(f"{name} must have shape {own_leaf.shape}, got {jnp.shape(leaf)}")
        kinds = [jnp.issubdtype(jnp.result_type(x), jnp.floating) for x in (leaf, own_leaf)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{name} must be of a type like {own_leaf.dtype}, got {jnp.result_type(leaf)}"
            )
    return carry
