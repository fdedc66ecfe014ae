"""The products of a training step with nothing around them: what no step can be faster than.

    python -m benchmarks.products [--kinds lstm,gru] [--sizes 0,1,2,3]

Of one layer, as XLA runs them with the process settings of ours: those of the forward pass, one
after the other; those that go back in time; and those of the weights' gradient, over all of time.
The gradient of the inputs is not asked for. Printed are medians in ms.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.recurrent import SIZES, chosen
from rnnjax.system.process import tune

# Of F features and H units: the rows of the weights that x and h meet, and the columns.
WEIGHTS: dict[str, Callable[[int, int], list[tuple[int, int, int]]]] = {
    "rnn": lambda f, h: [(f, h, h)],
    "gru": lambda f, h: [(f, h, 2 * h), (f, 0, h), (0, h, h)],  # with `reset_after`
    "lstm": lambda f, h: [(f, h, 4 * h)],
}


def milliseconds(run: Callable[[jax.Array, jax.Array], jax.Array], *shapes: list[int]) -> float:
    given = [jax.random.normal(jax.random.key(0), shape) for shape in shapes]
    compiled = jax.jit(run).lower(*given).compile()
    times = []
    for _ in range(9):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*given))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def repeated(a: jax.Array, b: jax.Array, times: int) -> jax.Array:
    """Multiplies as often, each time after the last."""

    def again(a: jax.Array, _: None) -> tuple[jax.Array, None]:
        return a.at[0, 0].set((a @ b)[0, 0]), None

    return jax.lax.scan(again, a, None, length=times)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="lstm,gru", help=f"among {', '.join(WEIGHTS)}")
    parser.add_argument("--sizes", default="0,1,2,3", help=f"numbers of {SIZES}: H, B, T, F")
    options = parser.parse_args()
    kinds = chosen(parser, "kinds", options.kinds, WEIGHTS)
    numbers = chosen(parser, "sizes", options.sizes, [str(n) for n in range(len(SIZES))])
    tune()
    print("| H, B, T, F | cell | forward | back | weights | together |\n|---|---|---|---|---|---|")
    for size in (SIZES[int(number)] for number in numbers):
        hidden, batch, steps, features = size
        for kind in kinds:
            totals = [0.0, 0.0, 0.0]
            for of_x, of_h, columns in WEIGHTS[kind](features, hidden):
                rows, examples = of_x + of_h, batch * steps
                totals[0] += milliseconds(
                    lambda a, b, n=steps: repeated(a, b, n), [batch, rows], [rows, columns]
                )
                if of_h:
                    totals[1] += milliseconds(
                        lambda a, b, n=steps: repeated(a, b.T, n), [batch, columns], [of_h, columns]
                    )
                totals[2] += milliseconds(jnp.matmul, [rows, examples], [examples, columns])
            numbers = (f"{ms:.1f}" for ms in (*totals, sum(totals)))
            print(f"| {', '.join(map(str, size))} | {kind} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
