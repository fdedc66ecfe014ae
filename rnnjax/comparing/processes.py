"""The processes of a comparison: each run has its own, which ends when this one does."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.errors import ConfigError
from rnnjax.system import files

PROGRAM = (sys.executable, "-c", "from rnnjax import compare; compare.work()")
TAIL_BYTES = 4_096  # of a log: its last lines
STEP = re.compile(rb"\bstep +(\d+)\b")
COMPLAINT = "rnnjax: "  # begins the line that says why a command has failed


class Share(NamedTuple):
    """What one of the processes at a time may use of the machine."""

    cores: Sequence[int]  # empty: all
    environment: Mapping[str, str]


def shares(number: int) -> list[Share]:
    """Divides the GPUs of the machine, or without any its cores, among processes.

    Raises:
      ConfigError: if there are fewer of them than processes.
    """
    if number == 1:
        return [Share((), {})]
    if names := gpus():
        _check_enough("GPUs", len(names), number)
        return [
            Share((), {"CUDA_VISIBLE_DEVICES": ",".join(names[n::number])}) for n in range(number)
        ]
    if not hasattr(os, "sched_getaffinity"):  # as on macOS, where nobody is bound to a core
        _check_enough("cores", os.cpu_count() or 1, number)
        return [Share((), {})] * number
    cores = sorted(os.sched_getaffinity(0))
    _check_enough("cores", len(cores), number)
    return [Share(cores[n::number], {}) for n in range(number)]


def gpus() -> list[str]:
    """Returns the GPUs that CUDA may use, without a start of CUDA in this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(n) for n in range(len(list(folder.iterdir())))] if folder.is_dir() else []


def _check_enough(what: str, there: int, number: int) -> None:
    if there < number:
        raise ConfigError(f"--jobs={number}, but there are {there} {what} to divide")


class Process:
    """A process that does what `compare.work` was asked for.

    Args:
      request: of JSON types.
      log: the file for what it prints; what was there is replaced.
      share: what it may use.
    """

    def __init__(self, request: Mapping[str, Any], log: Path, share: Share) -> None:
        self.share = share
        self._log = log
        files.remove(log)
        with files.create(log) as file:
            self._process = subprocess.Popen(
                PROGRAM,
                stdin=subprocess.PIPE,
                stdout=file.fileno(),
                stderr=subprocess.STDOUT,
                env={**os.environ, **share.environment},
                start_new_session=True,  # a terminal's Ctrl-C reaches this process alone
            )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin  # its end tells the process that this one has died
        line = json.dumps([list(share.cores), sys.path, request]).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it has died: its exit code says more
            self._pipe.write(line)
            self._pipe.flush()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def steps(self) -> int:
        """The steps that it has told of last."""
        found = STEP.findall(self._tail())
        return int(found[-1]) if found else 0

    def wait(self) -> str:
        """Waits for its end; returns why it has failed, in a line, empty if all went well."""
        code = self._process.wait()
        self._pipe.close()
        if code == 0:
            return ""
        if code < 0:
            likely = ", as when memory runs out" if code == -signal.SIGKILL else ""
            return f"its process was killed by {signal.Signals(-code).name}{likely}"
        lines = self._tail().decode(errors="replace").splitlines()
        complaints = [line for line in lines if line.startswith(COMPLAINT)]
        return (complaints or [*lines, f"exit code {code}"])[-1].removeprefix(COMPLAINT)

    def stop(self) -> None:
        """Asks it to save and to end."""
        self._process.terminate()

    def _tail(self) -> bytes:
        with files.open_file(self._log, os.O_RDONLY) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read()


def read_request() -> dict[str, Any]:
    """Returns what this process is wanted for, and lets it die with the one that has started it."""
    line = b""
    while not line.endswith(b"\n"):
        if not (letter := os.read(0, 65_536)):
            os._exit(1)
        line += letter
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cores, path, request = json.loads(line)
    sys.path += [place for place in path if place not in sys.path]  # as that of the config file
    if cores:
        os.sched_setaffinity(0, cores)
    return request


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is written, so that this ends when the other process does
    os._exit(1)
