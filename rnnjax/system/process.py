"""What a program sets for its own process before it trains; nothing that a library should do."""

import ctypes
import os
from pathlib import Path
from stat import S_ISVTX

from rnnjax.system.messages import warn

# Parameters of glibc's `mallopt`, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3

MIN_COMPILE_SECONDS = 0.1  # programs that compile faster are not worth a file in the cache

# For CPUs: fewer copies of what a loop carries, and buffers that are freed sooner.
XLA_FLAGS = (
    "--xla_cpu_copy_insertion_use_region_analysis=true",
    "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
)


def tune() -> None:
    """Makes training steps faster; call it before JAX looks for devices."""
    set_xla_flags()
    retain_freed_memory()
    dispatch_synchronously()


def set_xla_flags() -> None:
    """Sets those of `XLA_FLAGS` that this jaxlib knows, in the environment variable XLA_FLAGS.

    On a CPU a training step takes 4 to 5 % less time with them, and 6 to 22 % less memory. The
    user's own flags come last, and so win; if the variable names a file, it does not change.
    """
    from rnnjax import compat

    own = os.environ.get("XLA_FLAGS", "").strip()
    if not own or own.startswith("-"):
        known = filter(compat.xla_knows, XLA_FLAGS)
        os.environ["XLA_FLAGS"] = " ".join((*known, own)).strip()


def retain_freed_memory() -> None:
    """Lets glibc reuse freed memory for the next step instead of returning it to the system.

    By default each step gets its large buffers as fresh pages, and the system clears every one of
    them: for the LSTM of the TF1 tutorial 12,000 to 33,000 page faults a step, up to half of its
    time. TensorFlow sets thresholds of its own when it is imported. Without glibc the function does
    nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)


def dispatch_synchronously() -> None:
    """Has the thread that calls a program on a CPU run it.

    By default JAX dispatches it to another thread, whose memory glibc takes from another arena, and
    only the main thread's arena retains blocks of more than 64 MiB: an LSTM over 784 steps takes
    69,000 page faults a step, a fifth of its time. JAX_CPU_ENABLE_ASYNC_DISPATCH has precedence.
    """
    from rnnjax import compat

    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        compat.disable_async_dispatch()


def enable_compilation_cache() -> None:
    """Turns on JAX's persistent compilation cache, so that the next run of a recipe starts sooner.

    The cache is the folder `rnnjax` in `$XDG_CACHE_HOME` or `~/.cache`: several MiB a recipe, which
    can be removed at any time. Where the folder cannot be made, or others can write to it, there is
    none: a program in it runs as it is. A truncated entry, as a kill during a write may leave, is
    compiled again in each run, with a warning, until it is removed. JAX's own settings have
    precedence (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE,
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS).
    """
    import jax

    from rnnjax.system.numerics import processor

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        folder = cache_folder() / processor()
        for path in (*reversed(folder.parents), folder):
            path.mkdir(exist_ok=True, mode=0o700)
        if not _is_private(folder):
            warn(f"compiled programs are not kept: others can write to {folder} or a folder above")
            return
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder.resolve()))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)


def cache_folder() -> Path:
    """Returns the folder of what can be made or fetched again, which there may not be yet.

    Raises:
      RuntimeError: if the user has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    home = home if Path(home).is_absolute() else "~/.cache"  # as the XDG specification demands
    return Path(home).expanduser() / "rnnjax"


def _is_private(folder: Path) -> bool:
    """Whether nobody but this user and root can exchange what is in a folder, or the folder."""
    home, real = Path.home(), folder.resolve()
    chain = {*folder.parents, *real.parents, real}
    for path in chain - {*home.parents, *home.resolve().parents}:
        status = path.stat()
        # In a sticky folder such as /tmp, others cannot rename what is ours.
        open_to_others = status.st_mode & 0o022 and (path == real or not status.st_mode & S_ISVTX)
        if status.st_uid not in (os.geteuid(), 0) or open_to_others:
            return False
    return True
