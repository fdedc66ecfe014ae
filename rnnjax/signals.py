"""Being told to stop: by a cluster (SIGTERM), by Ctrl-C (SIGINT)."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from rnnjax.errors import RunError


class StoppedError(RunError):
    """A run was told to stop, and has saved what it had."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code(number)


def exit_code(number: int) -> int:
    """Returns the exit code that shells give to a process killed by a signal: 143, 130."""
    return 128 + number


class StopRequest:
    """Remembers the first SIGTERM or SIGINT for who looks at it; the second ends the process.

    A context manager: outside of it, signals do what they did before. Off the main thread, where
    Python delivers none, it remembers nothing.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self:
            os._exit(exit_code(number))
        self.signal = signal.Signals(number)
