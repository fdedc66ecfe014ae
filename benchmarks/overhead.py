"""A whole run's time against its bare compiled steps, and its peak memory.

    python -m benchmarks.overhead [--steps 400] [--repeats 3]

The run logs every 20 steps, writes summaries and saves a checkpoint every 100 steps; it is timed
from its first finished step to its last figures. The bare step is the same compiled function on
one batch that stays on the device. Both alternate, each in a process of its own.
"""

import argparse
import functools
import multiprocessing
import statistics
import time

from benchmarks.command import observe


def bare_step_seconds(num_steps: int) -> float:
    """Returns the seconds of a compiled training step with nothing around it."""
    import jax
    import numpy as np

    from rnnjax import classifier, parallel, train_state
    from rnnjax.allocator import keep_freed_memory
    from rnnjax.config import Config
    from rnnjax.data.pipeline import Batch
    from rnnjax.data.sequences import to_sequences
    from rnnjax.optimizer import adam
    from rnnjax.train_step import train_step

    keep_freed_memory()  # as main does
    config, rng = Config(), np.random.default_rng(0)
    images = rng.integers(0, 256, (config.batch_size, 28, 28), np.uint8)
    labels = rng.integers(0, 10, config.batch_size, np.int32)
    model = classifier.build(config.model, 10)
    optimizer = adam(config.optimizer, config.num_steps)
    read = functools.partial(to_sequences, kind="rows", permutation_seed=0)
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, read=read, axis_name=parallel.AXIS
    )
    compiled = parallel.compile_step(step, donate_argnums=(0,))
    key = jax.random.key(0)
    state = parallel.replicate(train_state.create(model, optimizer, key, read(images[:1])))
    batch, keys = parallel.shard(Batch(images, labels)), parallel.replicate(key)
    state, _ = jax.block_until_ready(compiled(state, batch, keys))
    start = time.monotonic()
    for _ in range(num_steps):
        state, _ = compiled(state, batch, keys)
    jax.block_until_ready(state)
    return (time.monotonic() - start) / num_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    runs, bares, peaks = [], [], []
    for _ in range(args.repeats):
        observed = observe(
            f"--config.num_steps={args.steps}",
            f"--config.eval_every_steps={args.steps}",
            "--config.checkpoint.every_steps=100",
        )
        start = next(at for at, line in observed.lines if line.startswith("step 1 was done"))
        end = max(at for at, line in observed.lines if line.startswith("epoch"))
        runs.append((end - start) / (args.steps - 1))
        peaks.append(observed.peak_mib)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            bares.append(pool.apply(bare_step_seconds, (args.steps,)))
    ratios = [run / bare for run, bare in zip(runs, bares, strict=True)]
    print(f"a step in a run {statistics.median(runs) * 1e3:.1f} ms")
    print(f"a bare step     {statistics.median(bares) * 1e3:.1f} ms")
    print(f"ratio           {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")
    print(f"peak memory     {max(peaks):.0f} MiB")


if __name__ == "__main__":
    main()
