"""What a program sets for its own process before it trains; nothing that a library should do."""

import ctypes
import hashlib
import os
import platform
from pathlib import Path

import jaxlib.version

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3

COMPILE_SECONDS = 0.1  # what takes longer to compile is kept

# For CPUs: fewer copies of what a loop carries, and buffers freed sooner. Measured with, and so
# known by, these versions of jaxlib: another that does not know a flag would end the process.
XLA_FLAGS = (
    "--xla_cpu_copy_insertion_use_region_analysis=true",
    "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
)
XLA_FLAGS_OF = ("0.10.2",)


def tune() -> None:
    """Makes training steps faster; call it before JAX looks for devices."""
    choose_xla_flags()
    keep_freed_memory()
    compute_in_this_thread()


def choose_xla_flags() -> None:
    """Has a training step take 4 to 5 % less time on a CPU, and 6 to 22 % less memory.

    Those in the user's own XLA_FLAGS come last, and so win; if it names a file, that is all.
    """
    own = os.environ.get("XLA_FLAGS", "").strip()
    if jaxlib.version.__version__ in XLA_FLAGS_OF and (not own or own.startswith("-")):
        os.environ["XLA_FLAGS"] = " ".join((*XLA_FLAGS, own)).strip()


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory for the next step instead of handing it back to the system.

    By default each step gets its large buffers as fresh pages, and the system clears every one of
    them: for the seed's LSTM 12,000 to 33,000 page faults a step, up to half of its time.
    TensorFlow, when it is imported, sets thresholds of its own. Without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)


def compute_in_this_thread() -> None:
    """Has the thread that calls a program on a CPU run it.

    By default JAX hands it to another, whose memory glibc takes from another arena, and no arena
    but the main thread's keeps blocks of more than 64 MiB: an LSTM over 784 steps takes 69,000 page
    faults a step, a fifth of its time. JAX_CPU_ENABLE_ASYNC_DISPATCH goes first.
    """
    import jax

    name = "jax_cpu_enable_async_dispatch"  # not a promise of JAX's, so it may go
    if name in jax.config.values and name.upper() not in os.environ:
        jax.config.update(name, False)


def keep_compiled_programs() -> None:
    """Lets JAX keep compiled programs on disk, so that the next run of a recipe starts sooner.

    They lie in `rnnjax` in `$XDG_CACHE_HOME` or `~/.cache`, some MiB a recipe, and can be removed
    at any time. A damaged one, as a kill while it is written may leave, is compiled again in each
    run, with a warning, until it is removed. JAX's own settings go first
    (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE,
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS). Where the folder cannot be made, nothing is kept.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    home = os.environ.get("XDG_CACHE_HOME", "")
    home = home if Path(home).is_absolute() else "~/.cache"  # as its specification says
    try:
        folder = Path(home).expanduser() / "rnnjax" / _machine()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", COMPILE_SECONDS)


def _machine() -> str:
    """Names the kind of processor, for which programs are compiled: machines may share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = f"{platform.machine()} {platform.processor()} {features}"
    return hashlib.sha256(kind.encode()).hexdigest()[:16]
