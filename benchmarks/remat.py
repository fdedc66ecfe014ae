"""Memory and time of the backward pass over a long sequence, with and without rematerialisation.

    python -m benchmarks.remat [--steps 4096] [--hidden 256] [--batch 8]

Memory is what the compiled gradient of an LSTM needs beside its arguments and results, as XLA
plans it: exact, and the same on every run.
"""

import argparse
import statistics
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import LSTMCell
from rnnjax.recurrent.unroll import unroll
from rnnjax.system.process import tune


def compile_gradient(variables: Any, inputs: jax.Array, *, hidden: int, remat: bool) -> Any:
    """Compiles the gradient of the mean square of an LSTM's last output."""

    def loss(variables: Any) -> jax.Array:
        result = nn.apply(unroll, LSTMCell(hidden))(
            variables, inputs, return_outputs="last", remat=remat
        )
        return jnp.mean(result.outputs**2)

    return jax.jit(jax.grad(loss)).lower(variables).compile()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    tune()
    inputs = jax.random.normal(jax.random.key(0), (args.batch, args.steps, 28))
    variables = nn.init(unroll, LSTMCell(args.hidden))(jax.random.key(1), inputs[:, :1])
    compiled = {
        remat: compile_gradient(variables, inputs, hidden=args.hidden, remat=remat)
        for remat in (False, True)
    }
    seconds: dict[bool, list[float]] = {False: [], True: []}
    gradients = {}
    for _ in range(args.repeats):
        for remat, gradient in compiled.items():
            start = time.monotonic()
            gradients[remat] = jax.block_until_ready(gradient(variables))
            seconds[remat].append(time.monotonic() - start)
    plain, saving = (c.memory_analysis().temp_size_in_bytes / 2**20 for c in compiled.values())
    difference = jax.tree.map(
        lambda a, b: float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a))), *gradients.values()
    )
    longer = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
    print(f"T={args.steps}, H={args.hidden}, B={args.batch}")
    print(f"memory  {plain:.1f} MiB, with remat {saving:.1f} MiB: {plain / saving:.1f} times less")
    print(f"time    with remat {longer:.2f} times as long")
    print(f"gradients differ by at most {max(jax.tree.leaves(difference)):.1e} of the largest")


if __name__ == "__main__":
    main()
