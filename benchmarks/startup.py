"""Seconds from the command to the first finished training step, data prepared before.

    python -m benchmarks.startup [--repeats 5]

For comparison: the imports alone (JAX, flax, Orbax, TensorFlow), which no program can avoid.
"""

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks.command import observe

IMPORTS = "import jax, flax.linen, optax, orbax.checkpoint, clu.metric_writers, tensorflow_datasets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats

    observe("--config.num_steps=1")  # prepares the data if need be, and fills the file cache
    first_steps, imports = [], []
    for _ in range(repeats):
        lines = observe("--config.num_steps=1").lines
        first_steps.append(next(at for at, line in lines if line.startswith("step 1 was done")))
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True, stderr=subprocess.DEVNULL)
        imports.append(time.monotonic() - start)
    first_step, importing = statistics.median(first_steps), statistics.median(imports)
    print(
        f"first step done after {first_step:.1f} s ({min(first_steps):.1f}-{max(first_steps):.1f})"
    )
    print(f"imports alone         {importing:.1f} s ({min(imports):.1f}-{max(imports):.1f})")
    print(f"ratio                 {first_step / importing:.2f}")


if __name__ == "__main__":
    main()
