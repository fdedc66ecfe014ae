"""One run a workdir: a lock that dies with its holder."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from rnnjax.errors import RunError

NAME = "lock"


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds a workdir for this process; the kernel frees it when the process dies.

    Raises:
      RunError: if another process holds it, naming that process, or the file system has no locks.
    """
    with (workdir / NAME).open("a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RunError(
                f"{workdir} is in use by {file.read().strip() or 'another process'}; wait for it, "
                "stop it, or name another --workdir"
            ) from error
        except OSError as error:
            raise RunError(
                f"{workdir} cannot be locked: {error.strerror}; name a --workdir on a file system "
                "with locks"
            ) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        file.flush()
        yield
