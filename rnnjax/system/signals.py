"""What happens at SIGTERM, of a cluster, and at SIGINT, of Ctrl-C: a run is asked to stop."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from rnnjax.errors import RunError

# SLURM ends a job with two SIGTERM, of its node and of srun, some 50 ms apart: they are one.
REPEAT_SECONDS = 1.0


class StoppedError(RunError):
    """A run was asked to stop, and has saved what it had."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code(number)


def exit_code(number: int) -> int:
    """Returns the exit code that shells give to a process killed by a signal: 143, 130."""
    return 128 + number


class StopRequest:
    """Remembers the first SIGTERM or SIGINT until it is polled; the second ends the process.

    The second does so at once: in a thread, since Python's handlers wait for the end of a call such
    as a compilation. A SIGTERM that follows another one within a second is no second signal. A
    context manager: outside of it, signals do what they did before. Off the
    main thread, where Python delivers none, it remembers nothing.

    Args:
      agree: returns the largest of the numbers that all processes of a run call it with, so that a
        signal to one of them stops all after the same step.
    """

    def __init__(self, agree: Callable[[int], int]) -> None:
        self.signal: signal.Signals | None = None  # as agreed at the last poll
        self._received = 0
        self._agree = agree
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether the run was asked to stop, as of the last poll."""
        return self.signal is not None

    def poll(self) -> bool:
        """Asks all processes of the run whether one of them has received a signal.

        With several processes this is a collective: all have to call it equally often.

        Returns:
          What `requested` is from here on.
        """
        if self.signal is None and (number := self._agree(self._received)):
            self.signal = signal.Signals(number)
        return self.requested

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._receive)
            reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self._writer_before = signal.set_wakeup_fd(self._writer)
            threading.Thread(target=_exit_at_second, args=(reader,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._writer_before)
            os.close(self._writer)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number


def _exit_at_second(reader: int) -> None:
    """Reads the numbers of all signals from a pipe, until its other end is closed."""
    first, received = 0, 0.0
    while number := os.read(reader, 1):
        if number[0] not in (signal.SIGTERM, signal.SIGINT):
            continue
        is_repeated = (
            first == number[0] == signal.SIGTERM and time.monotonic() - received < REPEAT_SECONDS
        )
        if first and not is_repeated:
            os._exit(exit_code(number[0]))
        if not first:
            first, received = number[0], time.monotonic()
    os.close(reader)
