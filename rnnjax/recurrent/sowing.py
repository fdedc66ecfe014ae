"""What a cell sows, and flax captures of its calls: of each step of a scan, call after call."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax.core import unfreeze
from flax.core.scope import CollectionFilter
from flax.traverse_util import flatten_dict, unflatten_dict

Run = Callable[[nn.RNNCellBase, Any, Any], Any]


def sown_collections(cell: nn.RNNCellBase) -> CollectionFilter:
    """Returns the collections that a cell's `sow` may add to, if the caller wants them back."""
    if cell.is_initializing():
        return "intermediates"
    # A collection that has other values is a state of the cell's, which would belong in its carry.
    flat = flatten_dict(unfreeze(dict(cell.variables)))
    states = {name for (name, *_), value in flat.items() if not _is_sown(value)}
    return nn.DenyList(("params", *sorted(states - {"intermediates"})))


def apart_from_earlier(run: Run, sown: CollectionFilter) -> Run:
    """Hides from a lifted scan what the cell has sown before, and appends what it sows to that.

    The scan would take it for values of its own steps, of which there may be others.

    Args:
      run: `(cell, state, xs) -> results`, xs with the time first.
      sown: the collections in question.
    """

    def run_apart(cell: nn.RNNCellBase, state: Any, xs: Any) -> Any:
        num_steps = jax.tree.leaves(xs)[0].shape[0]
        earlier: list[dict[Any, Any]] = []  # one for each module whose variables are passed in

        def hide(variables: dict[str, Any]) -> dict[str, Any]:
            flat = flatten_dict(variables)
            earlier.append({path: value for path, value in flat.items() if _is_sown(value)})
            rest = {path: flat[path] for path in flat.keys() - earlier[-1].keys()}
            for path, value in rest.items():
                _check_reduced(cell, "/".join(path), value, num_steps)
            return unflatten_dict(rest)

        def append(variables: Any) -> dict[str, Any]:
            flat = flatten_dict(unfreeze(variables))
            before = {path: value for path, value in earlier.pop(0).items() if path in flat}
            return unflatten_dict(flat | {path: before[path] + flat[path] for path in before})

        return nn.map_variables(run, sown, hide, append, mutable=True)(cell, state, xs)

    return run_apart


def _is_sown(value: Any) -> bool:
    return isinstance(value, tuple)  # as `sow` makes it, unless it is given a `reduce_fn`


def _check_reduced(cell: nn.RNNCellBase, name: str, value: Any, num_steps: int) -> None:
    """Raises a ValueError unless a `reduce_fn` can go on from a value, step by step."""
    shapes = [jax.numpy.shape(leaf) for leaf in jax.tree.leaves(value)]
    if any(shape[:1] != (num_steps,) for shape in shapes):
        raise ValueError(
            f"{type(cell).__name__} has sown {name!r} with a reduce_fn, of shapes {shapes}, which "
            f"cannot go on over {num_steps} steps; without a reduce_fn, sow appends to a tuple"
        )
