"""What is done with the products that a cell declares: checked, multiplied, split into gates."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from rnnjax.cells.linear import Inputs, Linear, Product, Sum, is_product
from rnnjax.cells.types import Carry, Products


def check_products(products: Products, carry_fields: Sequence[str], owner: str) -> None:
    """Checks what a cell declares.

    Args:
      products: the declaration.
      carry_fields: of the cell's carry.
      owner: the cell's name, for messages.

    Raises:
      TypeError: unless it is a `Product`, or a NamedTuple of them and of None.
      ValueError: for two operands of one name, or a bias, gates or a sum that make no sense.
    """
    declared = {"": products} if is_product(products) else _fields(products, owner)
    for name, product in declared.items():
        if not is_product(product):
            raise TypeError(
                f"{owner}.products must declare its products (Dense, Grouped, Convolution, Sum or "
                f"Inputs of rnnjax.cells.linear), got a {type(product).__name__}; what is no such "
                "product belongs into `pointwise`, or else overrides `step`"
            )
        if name in ("inputs", *carry_fields):
            raise ValueError(
                f"{owner}.products: {name!r} is the name of an operand already, of the inputs or "
                "in the carry"
            )
        _check_terms(product, owner)


def _fields(products: Products, owner: str) -> dict[str, Product]:
    if not hasattr(products, "_asdict"):
        raise TypeError(
            f"{owner}.products must declare its products as one of rnnjax.cells.linear or as a "
            f"NamedTuple of them, got a {type(products).__name__}"
        )
    return {name: product for name, product in products._asdict().items() if product is not None}


def _check_terms(product: Product, owner: str) -> None:
    if isinstance(product, Inputs):
        return
    terms = product.terms if isinstance(product, Sum) else (product,)
    for term in terms:
        if not isinstance(term, Linear):
            raise TypeError(f"{owner}.products: a Sum cannot add up a {type(term).__name__}")
        if isinstance(product, Sum) and term.gates:
            raise ValueError(f"{owner}.products: the gates of a Sum are its own, not its terms'")
        if term.bias is not None and jnp.ndim(term.bias) != 1:
            raise ValueError(
                f"{owner}.products: a bias must be one vector, got shape {jnp.shape(term.bias)}"
            )


def multiply(products: Products, carry: Carry, inputs: Array, batch_axes: int) -> Products:
    """Returns the products of a step, in the carry's dtype, gates side by side.

    Args:
      products: one `Product`, or a NamedTuple of them; None stands for one that is not there.
      carry: a NamedTuple of arrays `[..., H]`.
      inputs: `[..., F]`.
      batch_axes: axes that lead the features.

    Returns:
      An array `[..., G H]` in place of each product; `Inputs` keep their dtype.

    Raises:
      ValueError: for an operand that is neither the inputs, in the carry nor declared before.
    """
    arrays = {"inputs": inputs, **carry._asdict()}
    dtype = first_floating(carry)
    if is_product(products):
        return _evaluate(products, arrays, batch_axes, dtype)
    results = {}
    for name, product in products._asdict().items():
        if product is not None:
            results[name] = arrays[name] = _evaluate(product, arrays, batch_axes, dtype)
    return products._replace(**results)


def _evaluate(
    product: Product, arrays: Mapping[str, Array], batch_axes: int, dtype: DTypeLike
) -> Array:
    if isinstance(product, Inputs):
        return arrays["inputs"][..., product.start : product.stop]
    terms = product.terms if isinstance(product, Sum) else (product,)
    for name in (name for term in terms for name in term.operands if name not in arrays):
        raise ValueError(f"the operand {name!r} is none of {', '.join(map(repr, arrays))}")
    first, *others = (
        term.multiply([arrays[name] for name in term.operands], batch_axes) for term in terms
    )
    return sum(others, first).astype(dtype)


def first_floating(tree: PyTree) -> DTypeLike:
    """Returns the dtype of the first array of a tree that is floating; of the first if none is."""
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(tree)]
    return next((dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)), dtypes[0])


def split_gates(products: Products, arrays: Products) -> Products:
    """Returns what `multiply` returned, with a tuple of gates `[..., H]` for those that have names.

    Args:
      products: as for `multiply`.
      arrays: of that structure, `[..., G H]` each.
    """

    def split(product: Product, array: Array) -> Array | tuple[Array, ...]:
        gates = () if isinstance(product, Inputs) else product.gates
        return tuple(jnp.split(array, len(gates), axis=-1)) if gates else array

    return jax.tree.map(split, products, arrays, is_leaf=is_product)
