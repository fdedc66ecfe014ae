"""The kernels of `rnnjax.recurrent.gpu.fused`, in Pallas for Triton.

A program takes 16 examples through all of time, some columns of all gates at once. States and
products lie in the device's memory, where a barrier lets all threads of a program see them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from rnnjax.recurrent.gpu.loop import COLUMNS, ROWS, Loop, Trace, arithmetic

WARPS = 8  # of 32 threads, a program


class _Columns:
    """Reads and writes some columns of every block of an array."""

    def __init__(self, units: int, number: Any) -> None:
        self.units, self.width, self.number = units, min(units, COLUMNS), number

    def of(self, block: int) -> Any:
        return pl.ds(block * self.units + self.number * self.width, self.width)

    def read(self, refs: Any, *place: Any) -> Any:
        def blocks(ref: Any) -> list[jax.Array]:
            return [
                ref[(*place, slice(None), self.of(n))] for n in range(ref.shape[-1] // self.units)
            ]

        return jax.tree.map(blocks, refs)

    def write(self, refs: Any, values: Any, *place: Any) -> None:
        leaves, structure = jax.tree.flatten(refs)
        for ref, blocks in zip(leaves, structure.flatten_up_to(values), strict=True):
            for n, block in enumerate(blocks):
                ref[(*place, slice(None), self.of(n))] = block


def _barrier(interpret: bool) -> Callable[[], None]:
    """All threads of a program wait for each other; interpreted, there is one."""
    return (lambda: None) if interpret else triton.debug_barrier


def _each(count: int, body: Callable[[Any], None]) -> None:
    jax.lax.fori_loop(0, count, lambda n, _: body(n), None)


def _add_product(total: jax.Array, row: Any, column: Any, count: int) -> jax.Array:
    """Adds the products of `count` blocks; row and column return the n-th."""
    return jax.lax.fori_loop(0, count, lambda n, total: total + jnp.dot(row(n), column(n)), total)


def _forward_body(
    loop: Loop,
    wait: Callable[[], None],
    of_inputs: Any,
    weights: Any,
    state: Any,
    valid: Any,
    final: Any,
    kept: Any,
    states: Any,
    products: Any,
) -> None:
    num_steps, _, _ = jax.tree.leaves(of_inputs)[0].shape
    units = jax.tree.leaves(state)[0].shape[-1]
    count = max(1, units // COLUMNS)
    run = arithmetic(loop, state, of_inputs, valid)
    hidden = jax.tree.leaves(states)[loop.source]

    def start(number: Any) -> None:
        columns = _Columns(units, number)
        columns.write(states, columns.read(state), loop.places(0, num_steps)[1])

    def step(number: Any) -> None:
        time, before, after = loop.places(number, num_steps)
        mask = None if valid is None else valid[time, :] > 0

        def advance(number: Any) -> None:
            columns = _Columns(units, number)
            leaves, structure = jax.tree.flatten(of_inputs)
            found = []
            for x, w in zip(leaves, weights, strict=True):
                blocks = columns.read(x, time)
                if w is not None:
                    blocks = [
                        _add_product(
                            block,
                            lambda k: hidden[before, :, _Columns(units, k).of(0)],
                            lambda k, n=n, w=w: w[_Columns(units, k).of(0), columns.of(n)],
                            count,
                        )
                        for n, block in enumerate(blocks)
                    ]
                found.append(blocks)
            found = structure.unflatten(found)
            new_state, new_kept = run(columns.read(states, before), mask, found)
            columns.write(states, new_state, after)
            columns.write(products, found, time)
            columns.write(kept, new_kept, time)

        _each(count, advance)
        wait()

    def finish(number: Any) -> None:
        columns = _Columns(units, number)
        columns.write(final, columns.read(states, loop.places(num_steps, num_steps)[1]))

    _each(count, start)
    wait()
    _each(num_steps, step)
    _each(count, finish)


def _backward_body(
    loop: Loop,
    wait: Callable[[], None],
    trace: Trace,
    cotangents: Any,
    products_bar: Any,
    state_bar: Any,
) -> None:
    final_bar, kept_bar = cotangents
    num_steps = jax.tree.leaves(trace.products)[0].shape[0]
    units = jax.tree.leaves(state_bar)[0].shape[-1]
    count = max(1, units // COLUMNS)
    run = arithmetic(loop, state_bar, trace.products, trace.valid)
    hidden_bar = jax.tree.leaves(state_bar)[loop.source]

    def start(number: Any) -> None:
        columns = _Columns(units, number)
        columns.write(state_bar, columns.read(final_bar))

    def step(number: Any) -> None:
        time, before, _ = loop.places(num_steps - 1 - number, num_steps)
        mask = None if trace.valid is None else trace.valid[time, :] > 0

        def of_products(number: Any) -> None:
            columns = _Columns(units, number)
            given = (columns.read(trace.states, before), columns.read(trace.products, time))
            _, pull_back = jax.vjp(lambda state, products: run(state, mask, products), *given)
            found = pull_back((columns.read(state_bar), columns.read(kept_bar, time)))
            wait()  # what one thread reads here, another may write
            columns.write(state_bar, found[0])
            columns.write(products_bar, found[1], time)

        def of_hidden(number: Any) -> None:
            columns = _Columns(units, number)
            total = hidden_bar[:, columns.of(0)]
            for bar, w in zip(jax.tree.leaves(products_bar), trace.weights, strict=True):
                if w is not None:
                    total = _add_product(
                        total,
                        lambda k, bar=bar: bar[time, :, pl.ds(k * columns.width, columns.width)],
                        lambda k, w=w: w[columns.of(0), pl.ds(k * columns.width, columns.width)].T,
                        w.shape[1] // columns.width,
                    )
            wait()
            hidden_bar[:, columns.of(0)] = total

        _each(count, of_products)
        wait()
        _each(count, of_hidden)
        wait()

    _each(count, start)
    wait()
    _each(num_steps, step)


def _specs(tree: Any, axis: int | None) -> Any:
    """Each program has its rows of the axis; None: all of it."""

    def spec(leaf: Any) -> pl.BlockSpec:
        shape = tuple(ROWS if n == axis else size for n, size in enumerate(leaf.shape))
        return pl.BlockSpec(
            shape, lambda program: [program if n == axis else 0 for n in range(len(shape))]
        )

    return jax.tree.map(spec, tree)


def forward(
    loop: Loop, interpret: bool, of_inputs: Any, weights: Any, state: Any, valid: Any
) -> tuple[Any, Any, Any, Any]:
    """See `rnnjax.recurrent.gpu.fused`."""
    num_steps, batch, _ = jax.tree.leaves(of_inputs)[0].shape
    now = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), (of_inputs, valid))
    mask = None if valid is None else jax.ShapeDtypeStruct((batch,), jnp.bool)
    final, kept = jax.eval_shape(loop.pointwise, state, mask, now[0])

    def steps(tree: Any, count: int) -> Any:
        return jax.tree.map(lambda s: jax.ShapeDtypeStruct((count, *s.shape), s.dtype), tree)

    found = (final, steps(kept, num_steps), steps(final, num_steps + 1), steps(now[0], num_steps))
    return pl.pallas_call(
        functools.partial(_forward_body, loop, _barrier(interpret)),
        found,
        grid=(batch // ROWS,),
        in_specs=(_specs(of_inputs, 1), _specs(weights, None), _specs(state, 0), _specs(valid, 1)),
        out_specs=(_specs(final, 0), *(_specs(tree, 1) for tree in found[1:])),
        interpret=interpret,
        compiler_params=triton.CompilerParams(num_warps=WARPS),
        name="recurrence",
    )(of_inputs, weights, state, valid)


def backward(loop: Loop, interpret: bool, trace: Trace, cotangents: Any) -> tuple[Any, Any]:
    """Returns the cotangents of the products, as if each came from outside, and of the state."""
    final_bar, kept_bar = cotangents
    batch = jax.tree.leaves(final_bar)[0].shape[0]
    shapes = Trace(*(_specs(part, axis) for part, axis in zip(trace, (None, 1, 1, 1), strict=True)))

    def like(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)

    return pl.pallas_call(
        functools.partial(_backward_body, loop, _barrier(interpret)),
        (like(trace.products), like(final_bar)),
        grid=(batch // ROWS,),
        in_specs=(shapes, (_specs(final_bar, 0), _specs(kept_bar, 1))),
        out_specs=(_specs(trace.products, 1), _specs(final_bar, 0)),
        interpret=interpret,
        compiler_params=triton.CompilerParams(num_warps=WARPS),
        name="recurrence_backwards",
    )(trace, cotangents)
