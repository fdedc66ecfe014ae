"""The parameters of a model by name, and where a cell says so, gate by gate."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict

from rnnjax.cells.base import Cell
from rnnjax.cells.linear import Grouped, Inputs, Linear, Sum, is_product
from rnnjax.classifier import Params
from rnnjax.training.task import Task

Path = tuple[str, ...]  # of a parameter


class Blocks(NamedTuple):
    """How a parameter is made up of those of gates."""

    gates: tuple[str, ...]  # equal blocks, in this order
    axis: int  # along this axis


def gate_blocks(task: Task) -> dict[Path, Blocks]:
    """Returns which parameters of a task's model the cells declare to be of several gates."""
    found: dict[Path, Blocks] = {}

    def note(
        call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
    ) -> Any:
        result, cell = call(*args, **kwargs), context.module
        if context.method_name == "parameters" and isinstance(cell, Cell):
            for name, gates in cell.parameter_gates.items():
                found[(*cell.path, name)] = Blocks(gates, -1)
            products = cell.products(result) if cell.is_factored else ()
            for product, gates in _declared(products):
                axis = 2 if isinstance(product, Grouped) else -1
                for name, parameter in result._asdict().items():
                    if parameter is not None and parameter is product.kernel:
                        found[(*cell.path, name)] = Blocks(gates, axis)
                    if parameter is not None and parameter is product.bias:
                        found[(*cell.path, name)] = Blocks(gates, -1)
        return result

    def create_params() -> Params:  # a function of its own, since JAX keeps what it has traced
        return task.init_state(jax.random.key(0)).params

    with nn.intercept_methods(note):
        jax.eval_shape(create_params)
    return found


def by_gate(params: Params, blocks: Mapping[Path, Blocks]) -> dict[str, np.ndarray]:
    """Returns {`layer_0/kernel/forget`: array} of a tree of parameters, or of their gradients."""
    arrays: dict[str, np.ndarray] = {}
    leaves: dict[Path, Any] = flatten_dict(unfreeze(dict(params)))
    for path, leaf in leaves.items():
        array, block = np.asarray(leaf), blocks.get(path)
        if block is None:
            arrays["/".join(path)] = array
            continue
        parts = np.split(array, len(block.gates), axis=block.axis)
        for gate, part in zip(block.gates, parts, strict=True):
            arrays["/".join((*path, gate))] = part
    return arrays


def _declared(products: Any) -> list[tuple[Linear, tuple[str, ...]]]:
    """Returns the products with weights of a declaration that have gates, and these."""
    declared = [products] if is_product(products) else [*products]
    pairs: list[tuple[Linear, tuple[str, ...]]] = []
    for product in declared:
        if isinstance(product, Sum):
            pairs += [(term, product.gates) for term in product.terms]
        elif product is not None and not isinstance(product, Inputs):
            pairs.append((product, product.gates))
    return [(product, gates) for product, gates in pairs if gates]
