"""A whole run's time against its bare compiled steps, and its peak memory.

    python -m benchmarks.overhead [--steps 400] [--repeats 3]

The run logs every 20 steps, writes summaries and saves a checkpoint every 100 steps; it is timed
from its first finished step to its last figures. The bare step is the same compiled function on
one batch that stays on the device. Both alternate, each in a process of its own.
"""

import argparse
import multiprocessing
import statistics

from benchmarks.command import observe


def bare_step_seconds(num_steps: int) -> float:
    """Returns the seconds of a bare step, measured in this process."""
    from benchmarks.bare import BareStep
    from rnnjax.config import Config
    from rnnjax.system.process import tune

    tune()  # as main does
    return BareStep(Config()).seconds(num_steps)


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
