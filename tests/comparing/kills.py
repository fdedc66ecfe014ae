"""Kills the comparison of docs/comparing.md at random moments, and looks what it comes to.

    python -m tests.comparing.kills [--kills 10] [--seed 0]

Exit code 1 unless all files but event files, and all arrays, are those of one that was not killed.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.comparing.commands import (
    EVENING,
    compare,
    files,
    prepare_evening,
    results,
    start,
    states,
)

EARLIEST = 3.0  # seconds after the start: before, there is nothing to lose


def kill(out: Path, folder: Path, moment: float) -> bool:
    """Kills the comparison some seconds after its start; returns whether it was not done yet."""
    process = start(out, *EVENING, folder=folder)
    time.sleep(moment)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    return was_running


def differences(one: Path, other: Path) -> list[str]:
    """Returns what differs between the folders of two comparisons, times aside."""
    differing = sorted(files(one) ^ files(other))
    of_one, of_other = results(one), results(other)
    differing += [name for name in of_one if of_one[name] != of_other[name]]
    arrays, others = states(one), states(other)
    if arrays.keys() != others.keys():
        return [*differing, "the names of arrays"]
    return differing + [name for name in arrays if not np.array_equal(arrays[name], others[name])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as parent:
        folder, whole, out = (Path(parent, name) for name in ("evening", "whole", "killed"))
        prepare_evening(folder)
        started = time.monotonic()
        assert compare(whole, *EVENING, folder=folder).returncode == 0
        seconds = time.monotonic() - started
        kills = 0
        while kills < options.kills:
            moment = moments.uniform(EARLIEST, max(2 * EARLIEST, seconds / 3))
            if not kill(out, folder, moment):
                break
            kills += 1
            print(f"killed after {moment:.1f} s", flush=True)
        done = compare(out, *EVENING, folder=folder)
        print(done.stdout, done.stderr)
        differing = differences(whole, out)
    print(f"killed {kills} times; {len(differing)} differences {differing[:5]}")
    sys.exit(bool(differing) or done.returncode or kills < options.kills)


if __name__ == "__main__":
    main()
