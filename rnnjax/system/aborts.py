"""What happens when a library ends the process: JAX does when another process of a run is gone."""

import ctypes
import os
import signal
import sys
from typing import Any

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers: list[Any] = []  # libc, which calls them, has their addresses alone


def exit_at_abort(exit_code: int, message: str) -> None:
    """Has SIGABRT print a line, unless that is empty, and end the process with an exit code.

    A handler of Python's own would not do: it runs in the main thread, when C++ code has returned.

    Args:
      exit_code: of the process.
      message: goes to standard error.
    """

    def handle(number: int) -> None:
        if message and sys.stderr is not None:
            os.write(sys.stderr.fileno(), f"rnnjax: {message}\n".encode())
        os._exit(exit_code)

    _handlers.append(_Handler(handle))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])


def silence_libraries() -> None:
    """Keeps standard error for Python, so that no C++ code writes its dumps there."""
    if sys.stderr is None:  # the parent process has closed it
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
