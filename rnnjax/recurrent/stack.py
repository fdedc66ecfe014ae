"""Several cells as one."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

import flax.linen as nn
import jax
from jaxtyping import Array, PRNGKeyArray

from rnnjax.cells.types import Carry
from rnnjax.cells.wrappers.base import Wrapper
from rnnjax.cells.wrappers.noise import check_keep_prob, drop
from rnnjax.recurrent.outputs import output_struct

P = ParamSpec("P")
T = TypeVar("T")


class Stack(nn.RNNCellBase):
    """TF1's `MultiRNNCell`: each cell's output is the next one's input, within a step.

    The carry is a tuple of the cells' carries, the first layer's first. With dropout, it needs the
    random stream `dropout`.

    Attributes:
      cells: the layers, the one that sees the inputs first; no cell twice.
      between_keep_prob: probability that an output feature is kept on its way to the next layer, as
        torch's `1 - dropout`; no output of the last layer is dropped.
      deterministic: True switches this dropout off, for evaluation.
    """

    cells: Sequence[nn.RNNCellBase]
    between_keep_prob: float = 1.0
    deterministic: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.cells, Sequence):
            raise ValueError("Stack takes one list of cells: Stack([first, second])")
        super().__post_init__()

    @property
    def drops(self) -> bool:
        """Whether something is dropped between layers."""
        check_keep_prob(self, "between_keep_prob")
        return len(self.cells) > 1 and self.between_keep_prob < 1 and not self.deterministic

    def __call__(self, carry: tuple[Carry, ...], inputs: Array) -> tuple[tuple[Carry, ...], Array]:
        check_layers(self, "cells")
        drops = self.drops
        if type(carry) is not tuple or len(carry) != len(self.cells):
            raise ValueError(
                f"Stack: carry must be a tuple of one carry for each of {len(self.cells)} cells, "
                f"got a {type(carry).__name__}"
                + (f" of {len(carry)}" if isinstance(carry, tuple) else "")
            )
        new_carries = []
        for n, (cell, cell_carry) in enumerate(zip(self.cells, carry, strict=True)):
            if n > 0 and drops:
                inputs = drop(self.make_rng("dropout"), inputs, self.between_keep_prob)
            new_carry, inputs = cell(cell_carry, inputs)
            new_carries.append(new_carry)
        return tuple(new_carries), inputs

    @nn.nowrap
    def initialize_carry(
        self, rng: PRNGKeyArray, input_shape: tuple[int, ...]
    ) -> tuple[Carry, ...]:
        # A carry's shape may follow from how many features come in, so from the layer below.
        keys = jax.random.split(rng, len(self.cells))
        carries = []
        for n, (key, cell) in enumerate(zip(keys, self.cells, strict=True)):
            carries.append(cell.initialize_carry(key, input_shape))
            if n + 1 < len(self.cells):
                batch_axes = len(input_shape) - cell.num_feature_axes
                input_shape = output_struct(cell, carries[-1], input_shape).shape
                axes, wanted = len(input_shape) - batch_axes, self.cells[n + 1].num_feature_axes
                if axes != wanted:
                    raise ValueError(
                        f"Stack: cells[{n + 1}], a {type(self.cells[n + 1]).__name__}, takes "
                        f"inputs with {wanted} feature axes, the layer below puts out {axes}"
                    )
        return tuple(carries)

    @property
    def num_feature_axes(self) -> int:
        check_layers(self, "cells")
        return self.cells[0].num_feature_axes


def under_its_name(run: Callable[P, T]) -> Callable[P, T]:
    """Has a function of a cell do its operations in a scope that has the cell's name."""

    @functools.wraps(run)
    def run_in_scope(*args: P.args, **kwargs: P.kwargs) -> T:
        cell: Any = args[0]
        with jax.named_scope(_scope_name(cell)):
            return run(*args, **kwargs)

    return run_in_scope


def _scope_name(cell: nn.RNNCellBase) -> str:
    """Returns what the operations of a cell are found under: its name, or that of the one inside.

    So a single layer goes by its own name, whatever is around it.
    """
    inner = cell
    while inner.name is None or inner.name.startswith(type(inner).__name__):  # it was given none
        if isinstance(inner, Stack) and len(inner.cells) == 1:
            inner = inner.cells[0]
        elif isinstance(inner, Wrapper):
            inner = inner.inner
        else:
            return type(inner).__name__
    return inner.name


def check_layers(module: nn.Module, name: str) -> None:
    """Raises a ValueError if a field holds no layers, or one object in two of them."""
    layers = getattr(module, name)
    if not layers:
        raise ValueError(f"{type(module).__name__}: {name} must hold at least one")
    check_distinct(module, name, layers)


def check_distinct(module: nn.Module, name: str, layers: Iterable[nn.Module]) -> None:
    """Raises a ValueError if two layers share a module, at whatever depth."""
    seen: set[int] = set()
    for layer in layers:
        modules = _modules(layer)
        if not seen.isdisjoint(modules):
            raise ValueError(
                f"{type(module).__name__}: {name} holds one object twice, which would share its "
                "parameters; make one for each layer"
            )
        seen |= modules


def _modules(module: nn.Module) -> set[int]:
    """Returns the identities of a module and of all in its fields."""
    identities = {id(module)}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name, None) if field.name != "parent" else None
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, nn.Module):
                identities |= _modules(item)
    return identities
