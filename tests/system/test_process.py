"""What main sets for its process."""

import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax import compat
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
    every = jax.lax.scan(lambda c, _: (c + 1, c), x, None, length=1_000)[1]
    return (every * every[::-1]).sum()
run, x, counts = jax.jit(total), jnp.ones(40_000), []
for _ in range(20):
    run(x).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(statistics.median_low(b - a for a, b in zip(counts, counts[1:])))
"""

# What main has set when it begins to train, which has JAX look for its devices.
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

CACHE = """
import jax
from rnnjax.system.process import enable_compilation_cache
enable_compilation_cache()
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
    """Returns where a process of its own would have its compilation cache."""
    return printed(CACHE, **environment)


def test_main_tunes_before_jax_looks_for_devices() -> None:
    flags = printed(FLAGS, XLA_FLAGS="").split()
    assert printed(MAIN, XLA_FLAGS="").split() == [*flags, "False"]
    assert printed(MAIN, XLA_FLAGS="", JAX_CPU_ENABLE_ASYNC_DISPATCH="1").split() == [
        *flags,
        "True",
    ]


def test_every_flag_is_known_and_the_users_own_come_last() -> None:
    own = "--xla_cpu_copy_insertion_use_region_analysis=false"
    assert printed(FLAGS, XLA_FLAGS=own).split() == [*process.XLA_FLAGS, own]


@pytest.mark.parametrize(
    "flag", ["--xla_cpu_no_such_flag=true", "--xla_cpu_scheduler_type=NO_SUCH_SCHEDULER"]
)
def test_an_unknown_flag_would_end_the_process_and_is_not_set(flag: str) -> None:
    assert not compat.xla_knows(flag)
    with pytest.raises(subprocess.CalledProcessError):
        printed(FLAGS, XLA_FLAGS=flag)
    added = FLAGS.replace("process.tune()", f"process.XLA_FLAGS += ({flag!r},); process.tune()")
    assert printed(added, XLA_FLAGS="").split() == list(process.XLA_FLAGS)


def test_a_jaxlib_that_cannot_be_searched_gets_no_flags() -> None:
    hidden = FLAGS.replace(
        "process.tune()", "import jaxlib; jaxlib.__file__ = '/none/x'; process.tune()"
    )
    assert printed(hidden, XLA_FLAGS="") == ""


def test_a_file_of_xla_flags_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text("--xla_cpu_enable_fast_math=false\n")
    assert printed(FLAGS, XLA_FLAGS=str(file)) == str(file)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")
@pytest.mark.skipif(huge_pages(), reason="huge pages everywhere: there are few faults in any case")
def test_large_buffers_are_reused_from_call_to_call() -> None:
    assert int(printed(FAULTS.format(tune=""))) > 10_000
    assert int(printed(FAULTS.format(tune="tune()"))) < 1_000


def test_compiled_programs_are_cached_for_the_next_run(tmp_path: Path) -> None:
    # By default only what takes long to compile, and that depends on what else the machine does.
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def entries() -> dict[Path, int]:
        """The programs in the cache, and when each was written."""
        files = (tmp_path / "cache" / "rnnjax").rglob("*-cache")
        return {file: file.stat().st_mtime_ns for file in files}

    Process(tmp_path / "a", environment=environment).must_succeed()
    first = entries()
    Process(tmp_path / "b", environment=environment).must_succeed()
    assert first
    assert entries() == first


@pytest.mark.parametrize("home", ["a file", "nowhere"])
def test_without_a_folder_there_is_no_cache(tmp_path: Path, home: str) -> None:
    file = tmp_path / "file"
    file.touch()
    environments = {"a file": {"XDG_CACHE_HOME": str(file)}, "nowhere": {"HOME": str(file)}}
    assert cache_folder(**environments[home]) == "None"


def test_a_folder_that_others_can_write_to_is_no_cache(tmp_path: Path) -> None:
    """A program in it runs as it is."""
    above = tmp_path / "above"
    cache = above / "cache"
    cache.mkdir(parents=True)
    environment = {"XDG_CACHE_HOME": str(cache)}
    folder = Path(cache_folder(**environment))
    assert [stat.S_IMODE(p.stat().st_mode) for p in (folder, folder.parent)] == [0o700, 0o700]
    for path in (folder, cache, above):
        mode = path.stat().st_mode
        for writable in (0o020, 0o002):
            path.chmod(mode | writable)
            assert cache_folder(**environment) == "None"
        path.chmod(mode)
    assert cache_folder(**environment) == str(folder)
    above.chmod(0o1777)  # as /tmp, where others cannot rename what is ours
    assert cache_folder(**environment) == str(folder)


@pytest.mark.parametrize("umask", [0o002, 0o000])
def test_a_cache_is_private_whatever_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    """Debian's users have a group of their own, and a umask that lets it write."""
    private = tmp_path / "private"
    private.mkdir(mode=0o755)
    environment = {"XDG_CACHE_HOME": str(private / "above" / "cache")}
    before = os.umask(umask)
    try:
        folder = Path(cache_folder(**environment))
    finally:
        os.umask(before)
    made = [folder, *folder.parents][: len(folder.relative_to(private).parts)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


def test_jaxs_own_setting_has_precedence(tmp_path: Path) -> None:
    given = str(tmp_path / "mine")
    assert cache_folder(JAX_COMPILATION_CACHE_DIR=given, XDG_CACHE_HOME=str(tmp_path)) == given
    assert list(tmp_path.iterdir()) == []
    assert cache_folder(XDG_CACHE_HOME=str(tmp_path)).startswith(f"{tmp_path}/rnnjax/")


@pytest.mark.parametrize("platform", ["tpu", "cuda", "cpu,nonsense"])
def test_devices_that_do_not_start_are_told_in_one_line(platform: str, tmp_path: Path) -> None:
    run = Process(tmp_path / "run", environment={"JAX_PLATFORMS": platform})
    run.must_end(1, f"no device could be started with JAX_PLATFORMS={platform}: ")
    assert not (tmp_path / "run").exists()
