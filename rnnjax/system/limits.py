"""What the system must allow a process: libraries that need more abort it while they start."""

import os
import threading

from rnnjax.errors import RunError

MIN_ADDRESS_BYTES = 3 * 2**30  # of JAX and TensorFlow, before any model
STACK_BYTES = 2**18  # of a thread that only waits


def host_memory_bytes() -> int:
    """Returns how much memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_limits() -> None:
    """Raises a RunError if the process may have too little memory, or too few threads."""
    import resource  # which Windows lacks

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < MIN_ADDRESS_BYTES:
        raise RunError(
            f"the limit of virtual memory is {limit / 2**30:.1f} GiB, and JAX with TensorFlow "
            f"takes {MIN_ADDRESS_BYTES / 2**30:.0f} GiB; raise it: ulimit -v unlimited"
        )
    # Their number is limited by user and by container, and others have some of it: so try.
    wanted = 30 + 4 * _usable_cores()  # for the pools that they make
    done, threads = threading.Event(), []
    stack_bytes = threading.stack_size(STACK_BYTES)
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        raise RunError(
            f"only {len(threads)} threads can be started, and JAX with TensorFlow takes "
            f"{wanted}; end other processes, or raise the limit: ulimit -u, or pids.max of "
            "the container"
        ) from error
    finally:
        threading.stack_size(stack_bytes)
        done.set()
        for thread in threads:
            thread.join()


def _usable_cores() -> int:
    """Returns how many cores the process may use, of a host that may have more."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
