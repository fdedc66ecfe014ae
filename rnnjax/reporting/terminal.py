"""Lines, a progress bar, and the speed that they show."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from tqdm import tqdm

from rnnjax.system import distributed
from rnnjax.system.messages import on_terminal, printable
from rnnjax.system.waiting import waiting


def waiting_on_primary(
    what: str, show: Callable[[str], None] | None = None
) -> contextlib.AbstractContextManager[None]:
    """Shows, in the primary process, what a block is busy with, as `waiting` describes it."""
    if not distributed.is_primary():
        return contextlib.nullcontext()
    return waiting(what, show, lines=True)


class Display:
    """Lines on standard output, of the primary process; on a terminal also a bar.

    Args:
      first_step: where the bar starts.
      num_steps: where it ends.
    """

    def __init__(self, first_step: int, num_steps: int) -> None:
        # Without a terminal tqdm is silent and the lines stay plain.
        self._bar = tqdm(
            total=num_steps,
            initial=first_step,
            unit="step",
            file=sys.stdout,
            disable=not (on_terminal() and distributed.is_primary()),
            dynamic_ncols=True,
        )

    def advance(self, steps: int) -> None:
        self._bar.update(steps)

    def note(self, text: str) -> None:
        """Shows a text after the bar, until there is another one."""
        self._bar.set_postfix_str(printable(text))

    def line(self, text: str) -> None:
        if self._bar.disable:
            distributed.print_on_primary(text)
        else:
            self._bar.write(printable(text), file=sys.stdout)

    def waiting(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Shows before the bar what takes its time, and for how many seconds."""
        return waiting_on_primary(what, self._bar.set_description_str)

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


class Stopwatch:
    """Measures the steps per second since it was last read, without the time spent in `paused`."""

    def __init__(self, step: int) -> None:
        self.restart(step)

    def restart(self, step: int) -> None:
        self._step, self._start = step, time.perf_counter()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self._start += time.perf_counter() - before

    def steps_per_second(self, step: int) -> float:
        steps, seconds = step - self._step, time.perf_counter() - self._start
        self.restart(step)
        return steps / max(seconds, 1e-9)
