"""The C library's memory allocator, told what suits training."""

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory for the next step instead of handing it back to the system.

    By default each step gets its large buffers as fresh pages, and the system clears every one of
    them: for the seed's LSTM 12,000 to 33,000 page faults a step, up to half of its time. For a
    program's own start, not for a library to do: it holds for the whole process. Call it after
    TensorFlow is imported, which has thresholds of its own. Without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)
