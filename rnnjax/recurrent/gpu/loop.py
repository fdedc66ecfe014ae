"""The loop of a cell whose gates are known but for the state: by the kernel, and plainly."""

import functools
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnnjax.recurrent.deferred import Pointwise
from rnnjax.recurrent.gpu.differentiable import Kernel, run_kernel
from rnnjax.recurrent.gpu.kernel import run_recurrence
from rnnjax.recurrent.state import Flags

# The gates of all steps without the state, leaves [T, B, H]; for each of them the weights [H, H]
# of the state, or None; the state before the first step, leaves [B, H].
Floating: TypeAlias = tuple[Any, list[Array | None], Any]


class Loop(NamedTuple):
    """What is done with a state and gates."""

    pointwise: Pointwise  # of split gates
    field: str  # of the carry, which the weights multiply

    def hidden(self, state: Any) -> Any:
        return getattr(state.carry, self.field)

    def add_to_hidden(self, state: Any, x: Array) -> Any:
        return state._replace(carry=state.carry._replace(**{self.field: self.hidden(state) + x}))

    def pull_back(self, state: Any, flags: Flags, gates: Any, bars: Any) -> tuple[Any, Any]:
        """Returns the cotangents of state and gates."""
        return jax.vjp(lambda s, g: self.pointwise(s, flags, g), state, gates)[1](bars)


def run_loop(loop: Loop, floating: Floating, valid: Array | None) -> tuple[Any, Any]:
    """Returns the state after the last step, and the results of all steps, leaves `[T, B, H]`.

    Args:
      loop: a step.
      floating: gates, weights and first state.
      valid: `[T, B]`, 1 where a step counts, or 0; None: all do.
    """
    bind = functools.partial
    kernel = Kernel(bind(_scan, loop), bind(_forward, loop), bind(_backward, loop))
    return run_kernel(kernel, floating, valid)


def _scan(loop: Loop, floating: Floating, valid: Array | None) -> tuple[Any, Any]:
    gates, weights, state = floating

    def step(state: Any, gates_and_valid: tuple[Any, Array | None]) -> tuple[Any, Any]:
        gates, valid = gates_and_valid
        products = {n: loop.hidden(state) @ w for n, w in enumerate(weights) if w is not None}
        return loop.pointwise(state, _flags(valid), _add(gates, products))

    return jax.lax.scan(step, state, (gates, valid))


def _forward(loop: Loop, floating: Floating, valid: Array | None) -> Any:
    """Returns what `_scan` does; and the states and gates of all steps."""
    gates, weights, state = floating
    flags = _flags(None if valid is None else valid[0])
    zeros = jax.tree.map(jnp.zeros_like, _at(gates, 0))
    _, result = jax.eval_shape(loop.pointwise, state, flags, zeros)
    first = state, zeros, jax.tree.map(jnp.zeros_like, result)

    def step(y: Any, products: dict[int, Any], mask: Any, x: Any) -> Any:
        gates = _add(x, products)
        state, result = loop.pointwise(y[0], Flags(mask, None), gates)
        return state, gates, result

    leaves, structure = jax.tree.flatten(state)
    source = loop.hidden(structure.unflatten(range(len(leaves))))
    links = [(source, n) for n in range(len(weights))]
    ys = run_recurrence(step, links, weights, first, gates, valid, backwards=False)
    states, (gates, results) = ys[0], _at(ys[1:], slice(1, None))
    return (_at(states, -1), results), (states, gates)


def _backward(
    loop: Loop, floating: Floating, valid: Any, residuals: tuple[Any, Any], bars: tuple[Any, Any]
) -> Floating:
    _, weights, _ = floating
    (states, gates), (final_bar, results_bar) = residuals, bars

    def step(y: Any, products: dict[int, Any], mask: Any, x: Any) -> Any:
        state, gates, result_bar = x
        state_bar = loop.add_to_hidden(y[0], products[0])
        return loop.pull_back(state, Flags(mask, None), gates, (state_bar, result_bar))

    first = final_bar, jax.tree.map(jnp.zeros_like, _at(gates, 0))
    xs = _at(states, slice(-1)), gates, results_bar
    links = [(len(jax.tree.leaves(final_bar)) + n, 0) for n in range(len(weights))]
    ys = run_recurrence(step, links, weights, first, xs, valid, backwards=True)
    state_bar, gates_bar = _at(ys[0], 0), _at(ys[1], slice(-1))
    weights_bar: list[Array | None] = []
    for w, bar in zip(weights, jax.tree.leaves(gates_bar), strict=True):
        if w is not None:
            state_bar = loop.add_to_hidden(state_bar, bar[0] @ w.T)
        hidden = loop.hidden(xs[0])
        weights_bar.append(None if w is None else jnp.einsum("tbh,tbk->hk", hidden, bar))
    return gates_bar, weights_bar, state_bar


def _flags(valid: Any) -> Flags:
    return Flags(None if valid is None else valid > 0, None)


def _at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _add(gates: Any, products: dict[int, Any]) -> Any:
    leaves, structure = jax.tree.flatten(gates)
    sums = [x + products[n] if n in products else x for n, x in enumerate(leaves)]
    return structure.unflatten(sums)
