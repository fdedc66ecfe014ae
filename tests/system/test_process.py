"""What main sets for its process."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import jaxlib.version
import pytest

from rnnjax.system import process
from tests.faults.process import Process

pytestmark = pytest.mark.process

FLAGS = """
import jax
from rnnjax.system import process
process.tune()
jax.devices()
from os import environ
print(environ.get("XLA_FLAGS"))
"""

# The page faults of most calls of a program that needs 160 MB.
FAULTS = """
import resource, statistics
import jax, jax.numpy as jnp
from rnnjax.system.process import tune
{tune}
def total(x):
    kept = jax.lax.scan(lambda c, _: (c + 1, c), x, None, length=1_000)[1]
    return (kept * kept[::-1]).sum()
run, x, counts = jax.jit(total), jnp.ones(40_000), []
for _ in range(20):
    run(x).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(statistics.median_low(b - a for a, b in zip(counts, counts[1:])))
"""

# What main has set when training begins.
MAIN = """
import sys
import rnnjax.training.train
from rnnjax import main
def begin(config, workdir):
    import os, jax
    from jax._src import xla_bridge
    assert not xla_bridge.backends_are_initialized()
    print(os.environ.get("XLA_FLAGS"), jax.config.values["jax_cpu_enable_async_dispatch"])
rnnjax.training.train.train = begin
sys.argv = ["main", "--workdir=unused", "--config=experiments/lstm.py"]
main.run()
"""

SHOW = """
import jax
from rnnjax.system.process import keep_compiled_programs
keep_compiled_programs()
print(jax.config.jax_compilation_cache_dir)
"""


def huge_pages() -> bool:
    """Whether Linux gives every process pages of 2 MiB."""
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return file.is_file() and "[always]" in file.read_text()


def printed(program: str, **environment: str) -> str:
    """Returns what a process of its own prints."""
    inherited = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def cache_folder(**environment: str) -> str:
    """Returns where a process of its own would keep compiled programs."""
    return printed(SHOW, **environment)


def test_main_sets_it_before_devices_are_looked_for() -> None:
    shown = printed(FLAGS, XLA_FLAGS="")
    assert printed(MAIN, XLA_FLAGS="") == f"{shown} False"
    assert printed(MAIN, XLA_FLAGS="", JAX_CPU_ENABLE_ASYNC_DISPATCH="1") == f"{shown} True"


def test_the_users_own_xla_flags_come_last() -> None:
    own = "--xla_cpu_copy_insertion_use_region_analysis=false"
    *ours, last = printed(FLAGS, XLA_FLAGS=own).split()
    assert last == own
    known = jaxlib.version.__version__ in process.XLA_FLAGS_OF
    assert ours == (list(process.XLA_FLAGS) if known else [])


def test_a_file_of_xla_flags_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text("--xla_cpu_enable_fast_math=false\n")
    assert printed(FLAGS, XLA_FLAGS=str(file)) == str(file)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")
@pytest.mark.skipif(huge_pages(), reason="huge pages everywhere: there are few faults in any case")
def test_large_buffers_are_kept_from_call_to_call() -> None:
    assert int(printed(FAULTS.format(tune=""))) > 10_000
    assert int(printed(FAULTS.format(tune="tune()"))) < 1_000


def test_another_jaxlib_gets_no_flags_that_it_may_not_know() -> None:
    other = FLAGS.replace("process.tune()", "process.XLA_FLAGS_OF = (); process.tune()")
    assert printed(other, XLA_FLAGS="") == ""


def test_compiled_programs_are_kept_for_the_next_run(tmp_path: Path) -> None:
    # By default only what takes long to compile, and that depends on what else the machine does.
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def entries() -> dict[Path, int]:
        """What is kept, and when it was written."""
        kept = (tmp_path / "cache" / "rnnjax").rglob("*-cache")
        return {file: file.stat().st_mtime_ns for file in kept}

    Process(tmp_path / "a", environment=environment).must_succeed()
    first = entries()
    Process(tmp_path / "b", environment=environment).must_succeed()
    assert first
    assert entries() == first


@pytest.mark.parametrize("home", ["a file", "nowhere"])
def test_without_a_place_nothing_is_kept(tmp_path: Path, home: str) -> None:
    file = tmp_path / "file"
    file.touch()
    places = {"a file": {"XDG_CACHE_HOME": str(file)}, "nowhere": {"HOME": str(file)}}
    assert cache_folder(**places[home]) == "None"


def test_jaxs_own_setting_goes_first(tmp_path: Path) -> None:
    given = str(tmp_path / "mine")
    assert cache_folder(JAX_COMPILATION_CACHE_DIR=given, XDG_CACHE_HOME=str(tmp_path)) == given
    assert list(tmp_path.iterdir()) == []
    assert cache_folder(XDG_CACHE_HOME=str(tmp_path)).startswith(f"{tmp_path}/rnnjax/")
