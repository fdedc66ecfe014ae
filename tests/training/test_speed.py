"""How fast a run would be: told by its own programs, which it then finds compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
import jax
from rnnjax.data import datasets
from rnnjax.system import devices, process
from rnnjax.training.speed import measure
from rnnjax.training.train import train
from tests.training.runs import small

process.enable_compilation_cache()
devices.start()
config = small(steps=4)
config.seeds = 2
speed = measure(config, datasets.load(config.data))
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
train(config, sys.argv[1])
print(json.dumps([*speed, events.count("/jax/compilation_cache/cache_hits")]))
"""


@pytest.mark.process
def test_what_was_measured_is_compiled_when_the_run_begins(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "run")],
        cwd=root,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    *speed, hits = json.loads(done.stdout.splitlines()[-1])
    assert all(seconds > 0 for seconds in speed)
    assert hits >= 3  # the first state, the training step, the evaluation
