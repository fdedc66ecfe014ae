"""One run a workdir: a lock that dies with its holder."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rnnjax.errors import RunError
from rnnjax.system.files import open_file

NAME = "lock"


@contextlib.contextmanager
def locked(workdir: Path, argument: str = "--workdir") -> Iterator[Callable[[], None]]:
    """Holds a workdir for this process; the kernel frees it when the process dies.

    If there is nothing in the workdir but the lock when it is free again, the lock goes too.

    Args:
      workdir: the folder, which is there.
      argument: by which people name it.

    Yields:
      A function that raises a RunError once the lock was removed, alone or with the workdir: what
      is there from then on may be another run's.

    Raises:
      RunError: if another process holds it, naming that process, or the file system has no locks.
      OSError: if its file cannot be opened.
    """
    path = workdir / NAME
    with open_file(path, os.O_RDWR | os.O_CREAT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_named(file.fileno(), path):
                raise BlockingIOError  # its holder has just removed it, and another may have it
        except BlockingIOError as error:
            holder = file.read().decode(errors="replace").strip()
            raise RunError(
                f"{workdir} is in use by {holder or 'another process'}; wait for it, "
                f"stop it, or name another {argument}"
            ) from error
        except OSError as error:
            raise RunError(
                f"{workdir} cannot be locked: {error.strerror}; name a {argument} on a file "
                "system with locks"
            ) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
        file.flush()

        def check() -> None:
            if not _is_named(file.fileno(), path):
                raise RunError(f"{path} was removed during the run, so that it stops here")

        try:
            yield check
        finally:
            with contextlib.suppress(OSError):  # somebody may have removed the workdir
                if os.listdir(workdir) == [NAME]:
                    path.unlink()


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
