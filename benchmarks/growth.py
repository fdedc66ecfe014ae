"""How much memory a process gains: by run after run, and over a long run.

    python -m benchmarks.growth [--runs 16] [--steps 3000]

Small runs on drawn garments. The first runs of a process, and the first steps of a run, fill
caches that JAX, TensorFlow and malloc keep; what comes after them should gain nothing.
"""

import argparse
import contextlib
import io
import os
import tempfile
from pathlib import Path

from rnnjax.config import Config, DataConfig, ModelConfig


def resident_mib() -> float:
    """Returns the memory of this process that is in RAM, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Watch(io.TextIOBase):
    """Notes the resident memory whenever a run prints its figures."""

    def __init__(self) -> None:
        self.mib: list[float] = []

    def write(self, text: str) -> int:
        if "training accuracy" in text:
            self.mib.append(resident_mib())
        return len(text)


def train_once(num_steps: int, every: int) -> list[float]:
    """Returns the resident memory at each line of figures of a run, in MiB."""
    from rnnjax.training.train import train

    config = Config(
        num_steps=num_steps,
        log_every_steps=every,
        eval_every_steps=every,
        data=DataConfig("garments"),
        model=ModelConfig(hidden_size=16),
    )
    config.checkpoint.every_steps = every
    watch = Watch()
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stdout(watch):
        train(config, workdir)
    return watch.mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3_000)
    args = parser.parse_args()
    after = []
    for _ in range(args.runs):
        train_once(40, 20)
        after.append(resident_mib())
    half = len(after) // 2
    print(f"after each run   {', '.join(f'{mib:.0f}' for mib in after)} MiB")
    print(f"later half       {(after[-1] - after[half]) / (len(after) - half - 1):+.1f} MiB a run")
    during = train_once(args.steps, args.steps // 10)
    print(f"in a long run    {', '.join(f'{mib:.0f}' for mib in during)} MiB")
    print(f"last half        {during[-1] / during[len(during) // 2]:.3f} of its middle")


if __name__ == "__main__":
    main()
