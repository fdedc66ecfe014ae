"""Breaks runs in twenty-one ways, and prints a table: what was done, how often, was it held.

    python -m tests.faults [--only 1,3] [--moments 100] [--seed SEED] [--short]

Exit code 1 if a fault was not held.
"""

import os

# Before TensorFlow is imported, which would announce its kernels above the table.
os.environ.update(JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS="0")

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bench import Bench
from tests.faults.table import FAULTS, commit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="numbers of faults, 1,3; all if left out")
    parser.add_argument("--moments", type=int, default=100, help="of fault 1")
    parser.add_argument("--seed", default=commit(), help="of random moments; default: the commit")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--short", action="store_true", help="as in the test suite")
    options = parser.parse_args()
    numbers = [int(number) for number in options.only.split(",") if number] or list(FAULTS)

    failed = False
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        bench = Bench(
            Path(folder),
            short=options.short,
            jobs=options.jobs,
            seed=options.seed,
            moments=options.moments,
        )
        print("| fault | done | times | held | seen |\n|---|---|---|---|---|", flush=True)
        for number in numbers:
            what, fault = FAULTS[number]
            started = time.monotonic()
            seen = fault(bench)
            failed |= bool(seen.failures)
            verdict = "NO" if seen.failures else "yes" if seen.times else "not run"
            cells = (
                number,
                what,
                seen.times,
                verdict,
                f"{seen} ({time.monotonic() - started:.0f} s)",
            )
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
