"""A factored cell over all of time by one kernel.

On a GPU a scan launches a handful of small kernels a step, and a small network waits for them
longer than they run (Appleyard et al., "Optimizing performance of recurrent neural networks on
GPUs", 2016). Here a program of one kernel takes some examples through all of time. What reads no
state is computed before it, in one product for all of time; what the weights' gradient sums over
time, after it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnnjax.cells import linear
from rnnjax.cells.linear import Linear
from rnnjax.cells.products import split_gates
from rnnjax.recurrent.factored import Factored, Steps, UnavailableError
from rnnjax.recurrent.gpu.elementwise import check_elementwise
from rnnjax.recurrent.gpu.kernel import COLUMNS, ROWS
from rnnjax.recurrent.gpu.loop import Loop, run_loop


def scan_fused(factored: Factored, state: Any, steps: Steps, *, reverse: bool) -> tuple[Any, Any]:
    """Does what `rnnjax.recurrent.deferred.scan_deferred` does, by a kernel for NVIDIA GPUs.

    Anywhere else the kernel is interpreted, slowly: for tests alone.

    Args:
      factored: the cell.
      state: before the first step, leaves `[B, H]`, with the cell's carry in a field `carry`.
      steps: all of time.
      reverse: go from the last step to the first.

    Returns:
      The state after the last step, and the results of all steps, leaves `[T, B, H]`.

    Raises:
      UnavailableError: unless all is float32, H a power of two from 16 on, B a multiple of 16, all
        products read one field of the carry through dense or grouped weights, and the arithmetic
        goes element by element.
    """
    if reverse:
        turned = jax.tree.map(lambda leaf: leaf[::-1], steps)
        state, results = scan_fused(factored, state, turned, reverse=False)
        return state, jax.tree.map(lambda leaf: leaf[::-1], results)
    _check_arrays(factored, state, steps.inputs)
    gates, weights, field = _separate(factored.products, state.carry, steps.inputs)
    loop = Loop(factored.pointwise_gates, field)
    first = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[0], (steps.flags, gates)))
    _check_arithmetic(loop, state, *first)
    valid = None if steps.flags.valid is None else steps.flags.valid.astype(jnp.int32)
    return run_loop(loop, (gates, weights, state), valid)


def _check_arrays(factored: Factored, state: Any, inputs: Array) -> None:
    shape = jax.tree.leaves(state)[0].shape
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves((factored.products, state, inputs))}
    if dtypes != {"float32"}:
        raise UnavailableError(f"the kernel is for float32, here is {', '.join(sorted(dtypes))}")
    if inputs.ndim != 3 or 0 in inputs.shape:
        raise UnavailableError(f"the kernel has no inputs of shape {inputs.shape}, time first")
    if len(shape) != 2 or any(leaf.shape != shape for leaf in jax.tree.leaves(state)):
        raise UnavailableError("the arrays of its state are not of one shape [B, H]")
    if shape[1] < ROWS or shape[1] & (shape[1] - 1) or shape[0] % ROWS:
        raise UnavailableError(
            f"the kernel is for H a power of two from {ROWS} on and B a multiple of {ROWS}, here "
            f"are H = {shape[1]} and B = {shape[0]}"
        )


def _check_arithmetic(loop: Loop, state: Any, flags: Any, gates: Any) -> None:
    shape = jax.tree.leaves(state)[0].shape
    if any(leaf.shape != shape for leaf in jax.tree.leaves(gates)):
        raise UnavailableError("a product, or a gate of it, is not as wide as the state")
    block = ROWS, min(COLUMNS, shape[1])
    check_elementwise(loop.pointwise, block, state, flags, gates)
    bars = jax.eval_shape(loop.pointwise, state, flags, gates)
    check_elementwise(loop.pull_back, block, state, flags, gates, bars)


def _separate(products: Any, carry: Any, inputs: Array) -> tuple[Any, list[Array | None], str]:
    """Returns what all of time has at once, and what the products multiply the state by.

    Returns:
      Gates without the state, leaves `[T, B, H]`; for each leaf the weights `[H, H]` of the state,
      None if it reads none; and the field of the carry that is read.
    """
    by_name = {"": products} if linear.is_product(products) else products._asdict()
    by_name = {name: product for name, product in by_name.items() if product is not None}
    operands = {o for p in by_name.values() for t in _terms(p) for o in getattr(t, "operands", ())}
    if len(fields := operands & {*carry._fields}) != 1:
        raise UnavailableError(f"its products read {len(fields)} fields of the carry, not one")
    (field,) = fields
    arrays, gates, weights = {"inputs": inputs, field: getattr(carry, field)}, {}, []
    for name, product in by_name.items():
        terms = [_separate_term(term, arrays, field) for term in _terms(product)]
        value = jnp.broadcast_to(
            sum(x for x, _ in terms), (*inputs.shape[:2], terms[0][0].shape[-1])
        )
        matrices = [matrix for _, matrix in terms if matrix is not None]
        gates[name] = split_gates(product, value)
        count = len(jax.tree.leaves(gates[name]))
        weights += jnp.split(sum(matrices), count, axis=-1) if matrices else [None] * count
        if not matrices:
            arrays[name] = value
    return gates[""] if linear.is_product(products) else products._replace(**gates), weights, field


def _terms(product: linear.Product) -> tuple[linear.Inputs | Linear, ...]:
    return product.terms if isinstance(product, linear.Sum) else (product,)


def _separate_term(
    term: linear.Inputs | Linear, arrays: Mapping[str, Array], field: str
) -> tuple[Array, Array | None]:
    if isinstance(term, linear.Inputs):
        return arrays["inputs"][..., term.start : term.stop], None
    if not isinstance(term, linear.Dense | linear.Grouped):
        raise UnavailableError(f"a product is a {type(term).__name__}")
    if unknown := {*term.operands} - {*arrays}:
        raise UnavailableError(f"a product reads another, {unknown.pop()}, that reads the carry")
    axis, groups = (1, len(term.kernel)) if isinstance(term, linear.Grouped) else (0, 1)
    boundaries = np.cumsum([arrays[name].shape[-1] // groups for name in term.operands])
    rows = [*zip(term.operands, jnp.split(term.kernel, boundaries[:-1], axis), strict=True)]
    if others := [(name, part) for name, part in rows if name != field]:
        names, parts = zip(*others, strict=True)
        rest = dataclasses.replace(term, operands=names, kernel=jnp.concatenate(parts, axis))
        value = rest.multiply([arrays[name] for name in names], batch_axes=2)
    else:
        width = term.kernel.size // boundaries[-1]
        value = jnp.zeros(width, term.kernel.dtype) if term.bias is None else term.bias
    of_state = [part for name, part in rows if name == field]
    if not of_state:
        return value, None
    matrix = sum(of_state[1:], of_state[0])
    if isinstance(term, linear.Grouped):  # a block-diagonal matrix
        matrix = jnp.einsum("nkgl,nm->nkgml", matrix, jnp.eye(groups, dtype=matrix.dtype))
    return value, matrix.reshape(arrays[field].shape[-1], -1)
