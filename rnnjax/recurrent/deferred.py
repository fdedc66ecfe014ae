"""A factored cell over time, with the gradient of its weights deferred to after the loop.

A step is products z_t = A(W; c_{t-1}, x_t), affine in carry and inputs, then arithmetic
(c_t, y_t) = f(c_{t-1}, z_t). Differentiated forwards:

    dz_t = A(dW; c_{t-1}, x_t) + A_x(W) dx_t  +  A_c(W) dc_{t-1}  =  d_t + A_c(W) dc_{t-1}
    (dc_t, dy_t) = f'_t (dc_{t-1}, dz_t)

All c_{t-1} being known, d_t does not wait for the loop: it is one product for all of time. JAX
transposes this. With z'_t for the cotangent of z_t, the loop then runs backwards over

    (c'_{t-1}, z'_t) = f'_t^T (c'_t, y'_t),    c'_{t-1} += A_c(W)^T z'_t

and after it one product gives dL/dW = sum_t [x_t, c_{t-1}]^T z'_t and another dL/dx_t = A_x^T z'_t
(Appleyard et al., "Optimizing performance of recurrent neural networks on GPUs", 2016). JAX's own
derivative of a scan adds dL/dW up in the loop, a product and a pass over the whole matrix a step,
and keeps more than it needs of every gate. Here a step keeps what its transcendental functions
returned: everything else is cheap to compute again.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnnjax.cells.products import multiply
from rnnjax.cells.types import Products
from rnnjax.recurrent.state import Flags, Results, State, Steps

# The state before a step, its flags, products -> the state after it, its results.
Pointwise = Callable[[State, Flags, Products], tuple[State, Results]]

# What is expensive to compute again; a choice of speed alone.
TRANSCENDENTAL = ("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "sin", "cos")


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def scan_deferred(
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    products: Products,
    state: State,
    inputs: Float[Array, "T B *F"],
    flags: Flags,
) -> tuple[State, Results]:
    """Runs `pointwise(state, flags, multiply(products, state.carry, x, 1))` over all of time.

    Its values and derivatives, of any order and in either mode, are those of the `jax.lax.scan` it
    stands for; in bfloat16, the gradient of a weight is rounded once more, after the sum over time.

    Args:
      pointwise: pure; it closes over no traced array.
      reverse: go from the last step to the first.
      unroll_factor: steps in one iteration of the compiled loop.
      products: declared products (`rnnjax.cells.linear`).
      state: before the first step, leaves `[B, ...]`, floating.
      inputs: `[T, B, F]`.
      flags: `[T, B]` each, passed on to `pointwise`.

    Returns:
      The state after the last step, and the results of all steps, leaves `[T, ...]`.
    """

    def step(state: State, step: Steps) -> tuple[State, Results]:
        return pointwise(state, step.flags, multiply(products, state.carry, step.inputs, 1))

    return jax.lax.scan(step, state, Steps(inputs, flags), reverse=reverse, unroll=unroll_factor)


@scan_deferred.defjvp
def _differentiate(
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
) -> tuple[Any, Any]:
    """Written forwards; JAX transposes it, which turns the big product into that of the weights."""
    products, state, inputs, flags = primals
    products_dot, state_dot, inputs_dot, _ = tangents

    def forward(state: State, step: Steps) -> tuple[State, Any]:
        finish = jax.checkpoint(
            lambda state, arrays: pointwise(state, step.flags, arrays),
            policy=lambda primitive, *_, **__: primitive.name in TRANSCENDENTAL,
            prevent_cse=False,
        )
        (new_state, results), pull_back = jax.vjp(
            finish, state, multiply(products, state.carry, step.inputs, 1)
        )
        return new_state, (results, state, pull_back)

    steps = Steps(inputs, flags)
    final, stacked = jax.lax.scan(forward, state, steps, reverse=reverse, unroll=unroll_factor)
    # A state that the derivative reads is an output of the scan twice, and XLA would keep both.
    first_step = jax.tree.map(lambda leaf: leaf[0], steps)
    originals = _first_occurrences(lambda *arguments: forward(*arguments)[1], state, first_step)
    leaves, structure = jax.tree.flatten(stacked)
    results, states, pull_backs = structure.unflatten([leaves[n] for n in originals])

    arrays_dot = _products_tangent(products, states, inputs, products_dot, inputs_dot)
    zero_carry, zero_inputs = jax.tree.map(jnp.zeros_like, state.carry), jnp.zeros_like(inputs[0])
    one_result = (final, jax.tree.map(lambda leaf: leaf[0], results))

    # The same at each step, so that what it makes of the weights is made once.
    _, of_carry = jax.linearize(lambda carry: multiply(products, carry, zero_inputs, 1), zero_carry)

    # Without `checkpoint` the slopes of all gates would be kept for each step.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def push_forward(state_dot: State, step: tuple[Products, Any]) -> tuple[State, Results]:
        arrays_dot, pull_back = step
        arrays_dot = jax.tree.map(jnp.add, arrays_dot, of_carry(state_dot.carry))
        ((state_dot, results_dot),) = jax.linear_transpose(pull_back, one_result)(
            (state_dot, arrays_dot)
        )
        return state_dot, results_dot

    final_dot, results_dot = jax.lax.scan(
        push_forward, state_dot, (arrays_dot, pull_backs), reverse=reverse, unroll=unroll_factor
    )
    return (final, results), (final_dot, results_dot)


def _products_tangent(
    products: Products, states: State, inputs: Array, products_dot: Any, inputs_dot: Any
) -> Products:
    """Returns by what the products `[T, B, ...]` change with weights and inputs: d_t above."""

    def flat(leaf: Array) -> Array:
        return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

    carries = jax.tree.map(flat, states.carry)
    _, arrays_dot = jax.jvp(
        lambda products, inputs: multiply(products, carries, flat(inputs), 1),
        (products, inputs),
        (products_dot, inputs_dot),
    )
    return jax.tree.map(lambda leaf: leaf.reshape(*inputs.shape[:2], *leaf.shape[1:]), arrays_dot)


def _first_occurrences(function: Callable[..., Any], *arguments: Any) -> list[int]:
    """Returns for each leaf of the result the number of the first that is the same array."""
    seen: dict[int, int] = {}
    results = jax.make_jaxpr(function)(*arguments).jaxpr.outvars
    return [seen.setdefault(id(result), n) for n, result in enumerate(results)]
