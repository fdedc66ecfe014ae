"""A kernel that runs forwards and backwards, with all the derivatives of what it equals.

A kernel is a black box to JAX, and comes with the plain function that it equals. Values and
gradients are the kernel's, any other derivative is the plain function's. A linear map y = J x that
is transposed by a kernel is, for JAX, a system of equations that is solved from outside:

    (  I  0 ) (x)   (x)
    ( -J  I ) (y) = (0)

`jax.lax.custom_linear_solve` takes the solutions of it and of the transposed system as they are
given, and derives whatever else is asked for from the equations, which know only the plain J.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal

Tree: TypeAlias = Any  # of arrays


class Kernel(NamedTuple):
    """What runs forwards and backwards, and what it equals: pure functions."""

    plain: Callable[[Tree, Tree], Tree]  # floating arguments, others -> value
    forward: Callable[[Tree, Tree], tuple[Tree, Tree]]  # the same -> value, residuals
    # The same, residuals, cotangents of the value -> cotangents of the floating arguments.
    backward: Callable[[Tree, Tree, Tree, Tree], Tree]


def run_kernel(kernel: Kernel, floating: Tree, others: Tree) -> Tree:
    """Returns `kernel.plain(floating, others)`, computed by the kernel."""
    return _run(kernel, floating, others)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(kernel: Kernel, floating: Tree, others: Tree) -> tuple[Tree, Tree]:
    return kernel.forward(floating, others)


@_run.defjvp
def _differentiate(kernel: Kernel, primals: tuple[Tree, Tree], tangents: tuple[Tree, Tree]) -> Tree:
    floating, others = primals
    value, residuals = _run(kernel, floating, others)

    # JAX would compute what the transposed equations read, also where only the kernel is asked.
    @jax.checkpoint
    def push_forward(floating_dot: Tree) -> Tree:
        return jax.jvp(lambda x: kernel.plain(x, others), (floating,), (floating_dot,))[1]

    def equations(xy: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        return xy[0], jax.tree.map(jnp.subtract, xy[1], push_forward(xy[0]))

    def solve(_: Any, b: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        return b[0], jax.tree.map(jnp.add, b[1], push_forward(b[0]))

    def solve_transposed(_: Any, b: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        pulled_back = kernel.backward(floating, others, residuals, b[1])
        return jax.tree.map(jnp.add, b[0], pulled_back), b[1]

    # JAX transposes a solution only if all of its right side is linear, so 0 is a sum of no x.
    zero = sum(leaf.ravel()[:0].sum() for leaf in jax.tree.leaves(tangents[0]))
    x = jax.tree.map(lambda leaf: leaf + zero, tangents[0])
    y = jax.tree.map(lambda leaf: jnp.broadcast_to(zero, leaf.shape).astype(leaf.dtype), value)
    _, value_dot = jax.lax.custom_linear_solve(equations, (x, y), solve, solve_transposed)
    # Only the kernel reads the residuals, and is not differentiated.
    return (value, residuals), (value_dot, jax.tree.map(zero_from_primal, residuals))
