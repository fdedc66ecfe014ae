"""Where the time of a process goes, by part."""

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any


class Clock:
    """Adds up seconds by part; a part within another one does not count for that."""

    def __init__(self, process_start: float) -> None:
        """process_start: on the monotonic clock."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._process_start = process_start
        self._inner: list[float] = []  # of each part that is open, what counts for parts within it

    def end_start(self) -> None:
        """Counts all that was before for the start."""
        self.seconds.clear()
        self.seconds["start"] = time.monotonic() - self._process_start

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        before = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - before
            self.seconds[name] += took - self._inner.pop()
            if self._inner:
                self._inner[-1] += took

    def watch(self, owner: type, method: str, name: str) -> None:
        """Has the calls of a method count for a part."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            with self.part(name):
                return original(*arguments, **keywords)

        setattr(owner, method, watched)

    def end_start_with(self, owner: type, method: str) -> None:
        """Has the first call of a method be the last of the start."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def first(*arguments: Any, **keywords: Any) -> Any:
            result = original(*arguments, **keywords)
            if "start" not in self.seconds:
                self.end_start()
            return result

        setattr(owner, method, first)
