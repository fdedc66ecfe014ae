"""Says what a program is busy with while nothing else is printed."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rnnjax.system.messages import on_terminal

FRAMES = "|/-\\"
FRAME_SECONDS = 0.1
LINE_SECONDS = 8.0  # before the first line, without a terminal; before each later one twice that


@contextlib.contextmanager
def waiting(
    what: str, show: Callable[[str], None] | None = None, *, lines: bool = False
) -> Iterator[None]:
    """Shows, beside the block's work, what it is busy with and for how many seconds.

    On a terminal this is a spinner, which is gone in the end. The block prints nothing itself.

    Args:
      what: such as "loading data".
      show: shows a text on a terminal, and "" in the end; None: alone in the last line.
      lines: whether there are lines where there is no terminal, the first after 8 seconds, each
        later one after twice the time; else nothing.
    """
    is_terminal = on_terminal()
    if not is_terminal and not lines:
        yield
        return
    done = threading.Event()
    arguments = (what, show or _last_line, done, is_terminal)
    thread = threading.Thread(target=_show, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, show: Callable[[str], None], done: threading.Event, is_terminal: bool) -> None:
    start, count = time.monotonic(), 0
    # The text stays in the buffer, so that the next line of the work itself raises the same error.
    with contextlib.suppress(OSError):
        while not done.wait(FRAME_SECONDS if is_terminal else LINE_SECONDS * 2**count):
            text = f"{what} {time.monotonic() - start:.0f} s"
            if is_terminal:
                show(f"{FRAMES[count % len(FRAMES)]} {text}")
            else:
                print(text, flush=True)
            count += 1
        if is_terminal and count:
            show("")


def _last_line(text: str) -> None:
    """Replaces the line that the cursor is in."""
    sys.stdout.write(f"\r\x1b[K{text}")
    sys.stdout.flush()
