"""Runs rnnjax as a user does, and notes when each line comes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Observed(NamedTuple):
    lines: list[tuple[float, str]]  # (seconds since the start, line)
    seconds: float  # until the process ended
    peak_mib: float  # largest resident memory


def observe(*settings: str, experiment: str = "lstm.py") -> Observed:
    """Runs an experiment in a new workdir.

    Args:
      *settings: further arguments, such as `--config.num_steps=5`.
      experiment: file in experiments/.

    Raises:
      RuntimeError: if it fails.
    """
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "-m", "rnnjax.main", f"--workdir={workdir}/run"]
        command += [f"--config={ROOT / 'experiments' / experiment}", *settings]
        start = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [(time.monotonic() - start, line.rstrip()) for line in process.stdout]
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Observed(lines, time.monotonic() - start, usage.ru_maxrss / 1024)
