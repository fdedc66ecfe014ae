"""What two real processes of a run do not agree on, as the primary one says it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.several import free_address

pytestmark = pytest.mark.process

# Of one pair of processes: starting them takes longer than all that they do.
AGREE = """
import sys
from rnnjax.config import Config
from rnnjax.errors import DataError, RunError
from rnnjax.system import agreement, distributed

address, index = sys.argv[1], int(sys.argv[2])
distributed.initialize(f"{address},2,{index}", "1.0")


def raise_in(*indices):
    if index in indices:
        raise DataError(f"no data for {index}")
    return index


for check in (
    lambda: agreement.check_same_settings(Config()),
    lambda: agreement.check_same_settings(Config(seed=index, num_steps=5 + index)),
    lambda: agreement.check_same_data(lambda: {"sha256 of train": "ab"}),
    lambda: agreement.check_same_data(lambda: {"sha256 of train": "abc"[index:]}),
    lambda: agreement.succeed_in_all(raise_in),
    lambda: agreement.succeed_in_all(lambda: raise_in(1)),
    lambda: agreement.succeed_in_all(lambda: raise_in(0, 1)),
):
    try:
        print("agreed", check(), flush=True)
    except RunError as error:
        print(error.exit_code, error, flush=True)
distributed.exit_process(0)
"""
STOPPED = "2 the primary process of this run stopped; what it printed says why"


def test_the_primary_process_says_who_has_what(root: Path) -> None:
    address = free_address()
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", AGREE, address, str(index)],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    ends = [process.communicate(timeout=120) for process in pair]
    first, second = (
        [line for line in out.splitlines() if line.startswith(("agreed", "2 "))] for out, _ in ends
    )
    assert first == [
        "agreed None",
        "2 the processes of one run need the same settings: config.seed is 0 in the primary "
        "process, 1 in process 1; config.num_steps is 5 in the primary process, 6 in process 1",
        "agreed None",
        "2 the processes of one run need the same data: sha256 of train is 'abc' in the primary "
        "process, 'bc' in process 1",
        "agreed 0",
        "2 process 1: no data for 1",
        "2 no data for 0",
    ], ends
    assert second == ["agreed None", STOPPED] * 2 + ["agreed 1", STOPPED, STOPPED], ends
