"""A recurrence as one kernel, in Pallas for Triton.

JAX 0.12 warns that a later version drops Pallas for Triton; then `implementation="fused"` breaks.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

ROWS = 16  # examples of a program: the fewest that a tensor core multiplies
COLUMNS = 64  # of each array that are worked on at once
WARPS = 8  # of 32 threads, a program

Tree: TypeAlias = Any  # of arrays; inside of the kernel, of references to them

# y, products by number, whether the step counts, x -> the next y
Step = Callable[[Tree, dict[int, Any], Any, Tree], Tree]


def run_recurrence(
    step: Step,
    links: list[tuple[int, int]],
    weights: list[Any],
    first: tuple[Tree, ...],
    xs: Tree,
    valid: Any,
    *,
    backwards: bool,
) -> tuple[Tree, ...]:
    """Runs y' = step(y, products of y, x) over all of time, forwards or backwards.

    A program takes 16 examples through all of time, some columns of all arrays at once. All y lie
    in the device's memory, where a barrier lets all threads of a program see them. On anything but
    a GPU for CUDA the kernel is interpreted.

    Long because the parts of the kernel share its sizes and its references to arrays.

    Args:
      step: goes element by element.
      links: for each of the weights, which leaf of y is multiplied, and by which number the step
        finds the product; products of one number are added up.
      weights: `[H, H]` each; None: there is no such product.
      first: y before the first step, leaves `[B, H]`.
      xs: leaves `[T, B, H]`.
      valid: `[T, B]`, 1 where a step counts, or 0; None: all do.
      backwards: go from the last step to the first, and multiply by the transposed weights.

    Returns:
      y before and after all steps, in the order of time, leaves `[T + 1, B, H]`.
    """
    num_steps, batch, units = jax.tree.leaves(xs)[0].shape
    width = min(units, COLUMNS)

    def over_blocks(body: Callable[[Any, Any], Any], total: Any = None) -> Any:
        return jax.lax.fori_loop(
            0, units // width, lambda n, total: body(pl.ds(n * width, width), total), total
        )

    def kernel(wait: Callable[[], None], weights: Any, first: Any, xs: Any, valid: Any, ys: Any):
        rows, leaves = pl.ds(pl.program_id(0) * ROWS, ROWS), jax.tree.leaves(ys)

        def start(columns: Any, _: None) -> None:
            _write(ys, _read(first, rows, columns), num_steps if backwards else 0, rows, columns)

        def take_step(n: Any, _: None) -> None:
            before, after = (num_steps - n, num_steps - n - 1) if backwards else (n, n + 1)
            time = after if backwards else before
            mask = None if valid is None else valid[time, rows] > 0

            def advance(columns: Any, _: None) -> None:
                products: dict[int, Any] = {}
                for (source, number), w in zip(links, weights, strict=True):
                    if w is None:
                        continue

                    def add(k: Any, total: Any, ref: Any = leaves[source], w: Any = w) -> Any:
                        block = w[columns, k].T if backwards else w[k, columns]
                        return total + ref[before, rows, k] @ block

                    total = products.get(number, jnp.zeros((ROWS, width), w.dtype))
                    products[number] = over_blocks(add, total)
                y, x = _read(ys, before, rows, columns), _read(xs, time, rows, columns)
                _write(ys, step(y, products, mask, x), after, rows, columns)

            over_blocks(advance)
            wait()

        over_blocks(start)
        wait()
        jax.lax.fori_loop(0, num_steps, take_step, None)

    def call(interpret: bool) -> Callable[..., Any]:
        wait = (lambda: None) if interpret else triton.debug_barrier
        return pl.pallas_call(
            lambda weights, first, xs, valid, *ys: kernel(wait, weights, first, xs, valid, ys),
            jax.tree.map(lambda y: jax.ShapeDtypeStruct((num_steps + 1, *y.shape), y.dtype), first),
            grid=(batch // ROWS,),
            interpret=interpret,
            compiler_params=triton.CompilerParams(num_warps=WARPS),
            name="recurrence_backwards" if backwards else "recurrence",
        )

    return jax.lax.platform_dependent(
        weights, first, xs, valid, cuda=call(interpret=False), default=call(interpret=True)
    )


def _read(refs: Tree, *where: Any) -> Tree:
    return jax.tree.map(lambda ref: ref[where], refs)


def _write(refs: Tree, values: Tree, *where: Any) -> None:
    for ref, value in zip(jax.tree.leaves(refs), jax.tree.leaves(values), strict=True):
        ref[where] = value
