"""Factored cells over time: which cells can be run as products and arithmetic, and what that takes.

A cell declares its products, so that they are affine and keep examples apart by construction. What
is checked here is what a declaration cannot tell: that the arithmetic is pure, and has a derivative
that can be transposed.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import jaxprs_in_params
from jaxtyping import Array, PRNGKeyArray

from rnnjax import compat
from rnnjax.cells.base import Cell
from rnnjax.cells.products import multiply, split_gates
from rnnjax.cells.types import Carry, Params, Products
from rnnjax.cells.wrappers.dropout import DropoutCell
from rnnjax.recurrent.deferred import Pointwise
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.state import Flags, Results, State, Steps

# The state before a step, whether it counts, the new carry, the output -> the state after it and
# the step's results.
Advance = Callable[[State, Flags, Carry, Array], tuple[State, Results]]

# Their gradient may be another function than the derivative's transpose, or there is none.
NOT_TRANSPOSABLE = {"custom_vjp_call", "while"}


class UnavailableError(ValueError):
    """A cell cannot be unrolled by an implementation; the message says why."""


class Factored(NamedTuple):
    """A cell with its parameters, as products and arithmetic."""

    cell: Cell
    params: Params
    products: Products  # declared, of `rnnjax.cells.linear`
    pointwise: Pointwise  # pure: closes over no traced array
    pointwise_gates: Pointwise  # the same of products whose gates are split


def without_idle_wrappers(cell: nn.RNNCellBase) -> nn.RNNCellBase:
    """Returns the cell inside of wrappers that do nothing."""
    while type(cell) is DropoutCell and cell.is_idle:
        cell = cell.inner
    return cell


def factored_layers(cell: nn.RNNCellBase) -> tuple[nn.RNNCellBase, ...]:
    """Returns the layers of a stack, if each may go over all of time before the next one does.

    Empty for what is no stack, for one that drops between layers, and unless all layers are
    factored.
    """
    if type(cell) is not Stack:
        return ()
    try:
        _check_cell(cell)
    except UnavailableError:
        return ()
    return tuple(cell.cells)


def factor(cell: nn.RNNCellBase, advance: Advance, state: State, steps: Steps) -> Factored:
    """Takes a cell apart.

    Args:
      cell: bound to its parameters.
      advance: what is done with a step's carry and output.
      state: before the first step, leaves `[B, ...]`.
      steps: all of time.

    Raises:
      UnavailableError: if the cell is not factored, or its arithmetic is not pure or cannot be
        transposed; saying why.
    """
    cell = without_idle_wrappers(cell)
    _check_cell(cell)
    _check_arrays(state, steps)
    assert isinstance(cell, Cell)
    pure = cell.copy(parent=None, name=None)
    # Before a draw of the cell's own, so that the scan has the same.
    if cell.scope is not None and not cell.is_initializing():
        _check_not_random(pure, cell, steps.inputs[0])
    params = cell.checked_parameters(state.carry, steps.inputs[0])
    if read := [n for n in cell.pointwise_params if getattr(params, n, None) is not None]:
        raise UnavailableError(
            f"its arithmetic has parameters of its own ({', '.join(read)}), whose gradient a loop "
            "has to add up anyway"
        )
    dtype = cell.output_dtype(params)
    products = _declare(pure, params)
    # Shapes alone, so that the arithmetic cannot close over a traced parameter.
    shapes = jax.eval_shape(lambda: params)
    declared = jax.eval_shape(lambda: products)

    def pointwise_gates(state: State, flags: Flags, gates: Products) -> tuple[State, Results]:
        carry, outputs = pure.finish(shapes, state.carry, gates)
        return advance(state, flags, carry, outputs.astype(dtype))

    def pointwise(state: State, flags: Flags, arrays: Products) -> tuple[State, Results]:
        return pointwise_gates(state, flags, split_gates(declared, arrays))

    _check_pointwise(pointwise, products, state, steps)
    return Factored(cell, params, products, pointwise, pointwise_gates)


def _check_cell(cell: nn.RNNCellBase) -> None:
    settings: Any = jax.config
    if compat.observes_calls():
        raise UnavailableError("flax is to intercept or capture each call of the cell")
    if settings.jax_disable_jit:  # a scan is a Python loop then, whose residuals do not stack
        raise UnavailableError("jax.disable_jit is on")
    if type(cell) is Stack:
        _check_layers(cell)
    elif isinstance(cell, DropoutCell):
        raise UnavailableError("it drops at random at each step")
    elif not isinstance(cell, Cell):
        raise UnavailableError("it is no rnnjax.cells.Cell, which declares its products")
    elif not cell.is_factored:
        raise UnavailableError("its step is given as a whole, not as products and arithmetic")


def _check_layers(stack: Stack) -> None:
    if stack.drops:
        raise UnavailableError("it drops between its layers")
    for layer in map(without_idle_wrappers, stack.cells):
        try:
            _check_cell(layer)
        except UnavailableError as error:
            raise UnavailableError(f"of its layer {type(layer).__name__}: {error}") from error


def _check_arrays(state: State, steps: Steps) -> None:
    batch_size = steps.inputs.shape[1]
    for leaf in jax.tree.leaves((state, steps.inputs)):
        if any(axis is not None for axis in jax.typeof(leaf).sharding.spec):
            raise UnavailableError("an array is explicitly sharded")
    for leaf in jax.tree.leaves(state):
        if leaf.shape[:1] != (batch_size,) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise UnavailableError(f"its carry has a leaf {leaf.dtype}{[*leaf.shape]}")
    if not jnp.issubdtype(steps.inputs.dtype, jnp.floating):
        raise UnavailableError(f"its inputs are of type {steps.inputs.dtype}")


def _declare(pure: Cell, params: Params) -> Products:
    """Returns what a cell declares, without any random stream or module of its own."""
    try:
        products = pure.declare(params)
    except (flax.errors.FlaxError, AttributeError, TypeError, ValueError) as error:
        # What is declared wrongly, the scan refuses as well.
        raise UnavailableError(
            f"its products cannot be had of its parameters alone ({error})"
        ) from error
    for leaf in jax.tree.leaves(products):
        if leaf.dtype == jnp.float16:
            raise UnavailableError("sums over all of time may overflow in float16")
    return products


def _check_not_random(pure: Cell, cell: Cell, inputs: Array) -> None:
    """Refuses parameters that are drawn at random, as the scan does anew at each step."""
    variables = {"params": cell.variables.get("params", {})}
    streams = () if cell.scope is None else tuple(cell.scope.rngs)

    def parameters(key: PRNGKeyArray) -> Params:
        rngs = dict.fromkeys(streams, key)
        method = type(cell).parameters
        return pure.apply(variables, inputs.shape[-1], rngs=rngs, method=method)

    try:
        traced = jax.make_jaxpr(parameters)(jax.random.key(0)).jaxpr
    except flax.errors.FlaxError:  # of parameters that do not fit, of which the cell says more
        return
    (key,) = traced.invars
    if any(variable is key for equation in traced.eqns for variable in equation.invars):
        raise UnavailableError("its parameters are drawn at random at each step")


def _check_pointwise(pointwise: Pointwise, products: Products, state: State, steps: Steps) -> None:
    inputs, flags = jax.tree.map(lambda leaf: leaf[0], steps)
    arrays = jax.eval_shape(lambda state, x: multiply(products, state.carry, x, 1), state, inputs)
    try:
        traced = jax.make_jaxpr(pointwise)(state, flags, arrays)
    except Exception as error:
        # A cell bound to its variables may well do what its pure copy cannot: use random streams,
        # modules of its own. If not, the scan raises what it has to say.
        raise UnavailableError(
            f"its arithmetic needs more than its arguments ({type(error).__name__}: {error})"
        ) from error
    if any(isinstance(constant, Tracer) for constant in traced.consts):
        raise UnavailableError("its arithmetic reads a traced array, such as a field of the cell")
    primitives = {eqn.primitive.name for eqn in equations(traced.jaxpr)}
    if primitives & NOT_TRANSPOSABLE or traced.effects:
        raise UnavailableError(
            "its arithmetic has a custom_vjp, a loop of unknown length or effects"
        )


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yields all equations, also those of inner functions."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)
