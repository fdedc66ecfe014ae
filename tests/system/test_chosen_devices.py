"""Which devices a run has, and what is said where they are not there."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnjax.config import Config, ParallelConfig
from rnnjax.errors import ConfigError
from rnnjax.system.collectives import AXIS, total
from rnnjax.system.devices import choose, start
from rnnjax.training.train import train


@pytest.mark.parametrize("api", ["pmap", "jit"])
def test_a_run_can_have_fewer_devices_than_there_are(api: str) -> None:
    two = choose(ParallelConfig(devices=2, api=api))
    assert (two.count, two.num_local) == (2, 2)
    rows = two.shard(np.arange(6.0, dtype=np.float32))
    added = two.compile_step(lambda row: total(row, AXIS), ())(rows)
    assert {*added.devices()} == {*jax.devices()[:2]}
    np.testing.assert_array_equal(added, [[3, 5, 7]] * 2)


@pytest.mark.process
def test_host_devices_are_made_before_jax_starts(root: Path, tmp_path: Path) -> None:
    """And stand in the run: whoever goes on with others is told."""
    command = [sys.executable, "-m", "rnnjax.main", f"--workdir={tmp_path}/run"]
    command += [f"--config={root}/tests/faults/quick.py", "--config.checkpoint.every_steps=8"]

    def output(*settings: str) -> str:
        done = subprocess.run([*command, *settings], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    output("--config.num_steps=8", "--config.parallel.host_devices=2")
    assert json.loads((tmp_path / "run/config.json").read_text())["parallel.host_devices"] == 2
    text = output("--config.num_steps=16", "--config.parallel.host_devices=1")
    assert "devices was '2 cpu' and is now '1 cpu'" in text


def test_host_devices_that_come_too_late_are_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        start(3)
    assert str(raised.value) == (
        "config.parallel.host_devices=3, but JAX has started with 4 already"
    )
    start(4)


def test_settings_are_checked_before_jax_makes_devices(tmp_path: Path) -> None:
    config = Config(parallel=ParallelConfig(host_devices=1_000_000))
    with pytest.raises(ConfigError, match="host_devices=1000000 is out of range"):
        train(config, tmp_path / "run")


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        choose(ParallelConfig(devices=5))
    assert str(raised.value) == (
        "config.parallel.devices=5, but of cpu there are 4; config.parallel.host_devices makes "
        "more of the cores of a CPU"
    )
