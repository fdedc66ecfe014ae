"""What two real processes of a run do not agree on, as the primary one says it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.several import free_address

pytestmark = pytest.mark.process

# Of one pair of processes: starting them takes longer than all that they do.
AGREE = """
import sys
import numpy as np
from rnnjax.config import Config, ParallelConfig
from rnnjax.errors import DataError, RunError
from rnnjax.system import agreement, devices, distributed

address, index = sys.argv[1], int(sys.argv[2])
distributed.initialize(f"{address},2,{index}", "1.0")


def raise_in(*indices):
    if index in indices:
        raise DataError(f"no data for {index}")
    return index


def num_devices(wanted):
    return agreement.succeed_in_all(lambda: devices.choose(ParallelConfig(wanted)).count)


for check in (
    agreement.check_same_devices,
    lambda: agreement.check_same_settings(Config()),
    lambda: agreement.check_same_settings(Config(seed=index, num_steps=5 + index)),
    lambda: agreement.check_same_data(lambda: {"sha256 of train": "ab"}),
    lambda: agreement.check_same_data(lambda: {"sha256 of train": "abc"[index:]}),
    lambda: agreement.succeed_in_all(raise_in),
    lambda: agreement.succeed_in_all(lambda: raise_in(1)),
    lambda: agreement.succeed_in_all(lambda: raise_in(0, 1)),
    lambda: num_devices(2),
    lambda: num_devices(3),
    lambda: distributed.gather_devices(np.full((2, 1), index)).tolist(),
):
    try:
        print("agreed", check(), flush=True)
    except RunError as error:
        print(error.exit_code, error, flush=True)
distributed.exit_process(0)
"""
TRAIN = """
import sys
from rnnjax.config import Config, DataConfig, ModelConfig
from rnnjax.errors import RunError
from rnnjax.system import distributed
from rnnjax.training.train import train

distributed.initialize(f"{sys.argv[1]},2,{sys.argv[2]}", "1.0")
try:
    model = ModelConfig(sys.argv[4].format(sys.argv[2]))
    train(Config(data=DataConfig("garments"), model=model), sys.argv[3])
except RunError as error:
    print(error.exit_code, error, flush=True)
distributed.exit_process(0)
"""
STOPPED = "2 the primary process of this run stopped; what it printed says why"


def outputs(
    root: Path, program: str, *arguments: str, num_devices: tuple[int, int]
) -> list[tuple[str, str]]:
    """Returns what two processes, of so many devices each, have printed."""
    address = free_address()
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", program, address, str(index), *arguments],
            cwd=root,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": str(num_devices[index])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    return [process.communicate(timeout=120) for process in pair]


def test_the_primary_process_says_who_has_what(root: Path) -> None:
    ends = outputs(root, AGREE, num_devices=(2, 2))
    first, second = (
        [line for line in out.splitlines() if line.startswith(("agreed", "2 "))] for out, _ in ends
    )
    together = "agreed [[0], [0], [1], [1]]"
    assert first == [
        "agreed None",
        "agreed None",
        "2 the processes of one run need the same settings: config.seed is 0 in the primary "
        "process, 1 in process 1; config.num_steps is 5 in the primary process, 6 in process 1",
        "agreed None",
        "2 the processes of one run need the same data: sha256 of train is 'abc' in the primary "
        "process, 'bc' in process 1",
        "agreed 0",
        "2 process 1: no data for 1",
        "2 no data for 0",
        "agreed 2",
        "2 config.parallel.devices=3 is not divisible by the 2 processes",
        together,
    ], ends
    settings_and_data = ["agreed None", STOPPED] * 2
    values = ["agreed 1", STOPPED, STOPPED, "agreed 2", STOPPED, together]
    assert second == ["agreed None", *settings_and_data, *values], ends


def test_processes_with_other_numbers_of_devices_are_refused(root: Path, tmp_path: Path) -> None:
    """In which JAX itself would say that an array cannot be reshaped."""
    ends = outputs(root, TRAIN, str(tmp_path / "run"), "lstm", num_devices=(1, 2))
    lines = [[line for line in out.splitlines() if line.startswith("2 ")] for out, _ in ends]
    message = "the primary process has 1, process 1 has 2"
    assert lines == [
        [f"2 the processes of one run need equally many devices: {message}"],
        [STOPPED],
    ], ends
    assert not (tmp_path / "run").exists()


def test_what_is_missing_on_another_machine_is_told_by_the_first(
    root: Path, tmp_path: Path
) -> None:
    """A file of one's own cell, which only the first process finds."""
    (tmp_path / "own_0.py").write_text("from rnnjax.cells import LSTMCell as Own\n")
    own = f"{tmp_path}/own_{{}}.py:Own"
    ends = outputs(root, TRAIN, str(tmp_path / "run"), own, num_devices=(1, 1))
    (first,), (second,) = (
        [line for line in out.splitlines() if line.startswith("2 ")] for out, _ in ends
    )
    assert first.startswith("2 process 1: "), ends
    assert "own_1.py" in first, ends
    assert second == STOPPED, ends
    assert not (tmp_path / "run").exists()
