"""A run on any devices of any processes, by either API, is the run on one device."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.faults.several import free_address
from tests.training.runs import events, final_state
from tests.training.topology import run

pytestmark = pytest.mark.process

STEPS = 50
Runs = Sequence[tuple[Path, int, int, str]]  # workdir, steps, devices, API


def launch(root: Path, num_processes: int, devices_of_each: int, runs: Runs) -> None:
    """Has as many processes do all the runs together."""
    of_each = ["-"]
    if num_processes > 1:
        address = free_address()
        of_each = [f"{address},{num_processes},{index}" for index in range(num_processes)]
    stated = json.dumps([(str(workdir), *settings) for workdir, *settings in runs])
    environment = {
        **os.environ,
        "JAX_NUM_CPU_DEVICES": str(devices_of_each),
        # What is run twice is compiled once.
        "JAX_COMPILATION_CACHE_DIR": os.environ["XDG_CACHE_HOME"] + "/topologies",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.topology", own, stated],
            cwd=root,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in of_each
    ]
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors


def losses(workdir: Path) -> list[float]:
    """Returns the loss of each step."""
    shown = sorted((step, value) for step, value in events(workdir / "train")["loss"])
    assert [step for step, _ in shown] == [*range(1, len(shown) + 1)]
    return [float(np.frombuffer(value.tensor.tensor_content, np.float32)[0]) for _, value in shown]


def rows(workdir: Path) -> np.ndarray:
    """Returns which images all devices had, in their order, `[S, B]`."""
    files = sorted(workdir.parent.glob("rows_*.npy"))
    return np.concatenate([np.load(file) for file in files], axis=1)


def assert_same_run(workdir: Path, expected: Path) -> None:
    np.testing.assert_array_equal(rows(workdir), rows(expected))
    np.testing.assert_allclose(losses(workdir), losses(expected), rtol=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on one device."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    run(workdir, STEPS, 1, "pmap")
    found = losses(workdir)
    assert len(found) == STEPS
    assert np.mean(found[-10:]) < 0.98 * np.mean(found[:10])
    return workdir


def workdirs(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).mkdir()
    return [folder / name / "run" for name in names]


def test_host_devices(root: Path, tmp_path: Path, alone: Path) -> None:
    two, four, eight, by_jit = workdirs(tmp_path, "two", "four", "eight", "by_jit")
    some = [(two, STEPS, 2, "jit"), (four, STEPS, 4, "pmap")]
    launch(root, 1, 8, [*some, (eight, STEPS, 0, "pmap"), (by_jit, STEPS, 0, "jit")])
    for workdir in (two, four, eight, by_jit):
        assert_same_run(workdir, alone)
    assert losses(by_jit) == losses(eight)


def test_processes(root: Path, tmp_path: Path, alone: Path) -> None:
    *same, fewer, four = workdirs(tmp_path, "two", "again", "jit", "jit_again", "fewer", "four")
    apis = ("pmap", "pmap", "jit", "jit")
    runs = [(workdir, STEPS, 0, api) for workdir, api in zip(same, apis, strict=True)]
    launch(root, 2, 2, [*runs, (fewer, STEPS, 2, "pmap")])
    launch(root, 4, 1, [(four, STEPS, 0, "jit")])
    for workdir in (*same, fewer, four):
        assert_same_run(workdir, alone)
    first, *others = [final_state(workdir) for workdir in same]
    for path, leaf in first.items():
        for other in others:
            np.testing.assert_array_equal(leaf, other[path])


def test_a_run_goes_on_wherever_it_is_brought(
    root: Path, tmp_path: Path, alone: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Four devices, one, two processes of two each by the other API, and four again."""
    workdir = tmp_path / "run"
    run(workdir, 10, 0, "pmap")
    run(workdir, 20, 1, "jit")
    assert "devices was '4 cpu' and is now '1 cpu'" in capfd.readouterr().out
    launch(root, 2, 2, [(workdir, 30, 0, "jit")])
    assert "processes was '1' and is now '2'" in capfd.readouterr().out
    run(workdir, STEPS, 0, "pmap")
    assert "processes was '2' and is now '1'" in capfd.readouterr().out
    np.testing.assert_allclose(losses(workdir), losses(alone), rtol=1e-5)
