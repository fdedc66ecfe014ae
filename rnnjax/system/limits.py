"""What the system must allow a process: libraries that need more abort it while they start."""

import os
import threading

from rnnjax.errors import RunError

MIN_ADDRESS_BYTES = 3 * 2**30  # of JAX and TensorFlow, before any model
MIN_THREADS = 30 + 4 * (os.cpu_count() or 1)  # of the pools that they make


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
    done, threads = threading.Event(), []
    try:
        for _ in range(MIN_THREADS):
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        raise RunError(
            f"only {len(threads)} threads can be started, and JAX with TensorFlow takes "
            f"{MIN_THREADS}; end other processes, or raise the limit: ulimit -u, or pids.max of "
            "the container"
        ) from error
    finally:
        done.set()
        for thread in threads:
            thread.join()
