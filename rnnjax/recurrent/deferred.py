"""A recurrence of products and pointwise arithmetic, and its derivative.

JAX's own derivative of a `scan` adds up the gradient of each weight in the loop, a product and a
pass over the whole matrix a step, and keeps more than it needs of every gate. Here the products
with weights take the derivative of all of time at once, in one product after the loop (Appleyard
et al., "Optimizing performance of recurrent neural networks on GPUs", 2016), and of a step is kept
what its transcendental functions returned: everything else is cheap to compute again.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.recurrent.dependence import first_alike

# params, state, input of the step -> products
Products = Callable[[Any, Any, jax.Array], Any]
# state, whether the step counts, products -> new state, what is kept of the step
Pointwise = Callable[[Any, jax.Array | None, Any], tuple[Any, Any]]

# What is dear to compute again; a choice of speed alone.
TRANSCENDENTAL = ("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "sin", "cos")


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def recur(
    products: Products,
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    params: Any,
    state: Any,
    inputs: jax.Array,
    valid: jax.Array | None,
) -> tuple[Any, Any]:
    """Runs `pointwise(state, valid, products(params, state, x))` over all of time.

    Its values and derivatives, of any order and in either mode, are those of the `jax.lax.scan` it
    stands for; in bfloat16, the gradient of a weight is rounded once more, after the sum over time.
    Both functions are pure and close over no traced array (`factored` sees to that).

    Args:
      products: affine in state and input together, and row by row.
      pointwise: the rest of the step.
      reverse: go from the last step to the first.
      unroll_factor: steps in one iteration of the compiled loop.
      params: a tree of weights.
      state: before the first step, leaves `[B, ...]`, floating.
      inputs: `[T, B, F]`.
      valid: `[T, B]`, passed on to `pointwise`; or None.

    Returns:
      The state after the last step, and what was kept of all steps, leaves `[T, ...]`.
    """

    def step(state: Any, now: tuple[jax.Array, jax.Array | None]) -> tuple[Any, Any]:
        x, valid = now
        return pointwise(state, valid, products(params, state, x))

    return jax.lax.scan(step, state, (inputs, valid), reverse=reverse, unroll=unroll_factor)


@recur.defjvp
def _differentiate(
    products: Products,
    pointwise: Pointwise,
    reverse: bool,
    unroll_factor: int,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
) -> tuple[Any, Any]:
    """Written forwards; JAX transposes it, which turns the big product into that of the weights."""
    params, state, inputs, valid = primals
    params_dot, state_dot, inputs_dot, _ = tangents

    def forward(state: Any, now: tuple[jax.Array, jax.Array | None]) -> tuple[Any, Any]:
        x, valid = now
        finish = jax.checkpoint(
            lambda state, found: pointwise(state, valid, found),
            policy=lambda primitive, *_, **__: primitive.name in TRANSCENDENTAL,
            prevent_cse=False,
        )
        (new_state, kept), pull_back = jax.vjp(finish, state, products(params, state, x))
        return new_state, (kept, state, pull_back)

    steps = (inputs, valid)
    final, found = jax.lax.scan(forward, state, steps, reverse=reverse, unroll=unroll_factor)
    # A state that the derivative reads comes twice, and XLA would keep both.
    first = jax.tree.map(lambda leaf: leaf[0], steps)
    same = first_alike(lambda *arguments: forward(*arguments)[1], state, first)
    leaves, structure = jax.tree.flatten(found)
    kept, states, pull_backs = structure.unflatten([leaves[n] for n in same])

    # By what weights and inputs change, the products of all steps change by:
    def flat(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

    rows = jax.tree.map(flat, states)
    _, found_dot = jax.jvp(
        lambda params, inputs: products(params, rows, flat(inputs)),
        (params, inputs),
        (params_dot, inputs_dot),
    )
    found_dot = jax.tree.map(
        lambda leaf: leaf.reshape(*inputs.shape[:2], *leaf.shape[1:]), found_dot
    )
    nowhere, nothing = jax.tree.map(jnp.zeros_like, state), jnp.zeros_like(inputs[0])
    result = (final, jax.tree.map(lambda leaf: leaf[0], kept))

    # The same at each step, so that what it makes of the weights is made once.
    _, by_state = jax.linearize(lambda state: products(params, state, nothing), nowhere)

    # What it would otherwise keep of a step are the slopes of all gates.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def change(state_dot: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
        found_dot, pull_back = now
        found_dot = jax.tree.map(jnp.add, found_dot, by_state(state_dot))
        ((state_dot, kept_dot),) = jax.linear_transpose(pull_back, result)((state_dot, found_dot))
        return state_dot, kept_dot

    final_dot, kept_dot = jax.lax.scan(
        change, state_dot, (found_dot, pull_backs), reverse=reverse, unroll=unroll_factor
    )
    return (final, kept), (final_dot, kept_dot)
