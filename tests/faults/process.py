"""A run of the real command: started, watched, sent signals, waited for."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds for anything that takes a few on a quiet machine
BUSY = re.compile(r"(loading data|compiling|evaluating) \d+ s")
# The suite runs on four devices, which takes longer and has no part in these faults.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}


class Process:
    """`python -m rnnjax.main` on quick.py, in the repository's folder."""

    def __init__(
        self,
        workdir: Path,
        *settings: str,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.workdir, self.patience = workdir, PATIENCE
        self._out, self._err = _unnamed_file(), _unnamed_file()
        for file in (self._out, self._err):
            weakref.finalize(self, file.close)
        config = Path(__file__).with_name("quick.py")
        command = [*wrapper, sys.executable, "-m", "rnnjax.main"]
        command += [f"--workdir={workdir}", f"--config={config}", *settings]
        # Importing JAX has set the one of this process.
        inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
        self.started, self.started_at = time.monotonic(), time.time()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={**inherited, **ENVIRONMENT, **(environment or {})},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lines(self) -> list[str]:
        """What it has printed, but for what it is busy with when the machine is slow."""
        return [line for line in _read(self._out) if not BUSY.fullmatch(line)]

    @property
    def errors(self) -> list[str]:
        return _read(self._err)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def last_step(self) -> int:
        """The last step of which there are training figures."""
        steps = [line.split() for line in self.lines if "training accuracy" in line]
        return int(steps[-1][steps[-1].index("step") + 1]) if steps else 0

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        """Waits for the end; returns the exit code, negative for a signal."""
        try:
            return self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {self.patience:.0f} s") from None

    def until(self, condition: Callable[[], bool]) -> bool:
        """Waits for a condition; returns whether it came true before the end of the process."""
        while not self.ended:
            if condition():
                return True
            if time.monotonic() - self.started > PATIENCE:
                self.kill()
            time.sleep(0.001)
        return False

    def until_line(self, *words: str) -> bool:
        return self.until(lambda: any(all(w in line for w in words) for line in self.lines))

    def until_step(self, step: int) -> bool:
        return self.until(lambda: self.last_step >= step)

    def drafts(self) -> list[Path]:
        """What a save has under way."""
        return [p for p in (self.workdir / "checkpoints").glob("*.tmp") if p.stem != "trial"]

    def must_end(self, code: int, *words: str, lines: int = 1) -> str:
        """Waits for the end and checks exit code and error: some lines, these words, no traceback.

        Returns:
          The last line of the error.
        """
        actual = self.wait()
        text = " | ".join(self.errors) or "nothing on stderr"
        assert actual == code, f"exit code {actual} instead of {code}: {text}"
        assert "Traceback" not in text, text
        assert len(self.errors) <= lines, f"{len(self.errors)} lines: {text}"
        for word in words:
            assert word in text, f"{word!r} is not in: {text}"
        return text

    def must_succeed(self) -> None:
        code = self.wait()
        assert code == 0, f"exit code {code}: {' | '.join(self.errors)}"


def _unnamed_file() -> IO[bytes]:
    descriptor, name = tempfile.mkstemp()
    os.unlink(name)
    return os.fdopen(descriptor, "wb")


def _read(stream: IO[bytes]) -> list[str]:
    # Not with read(): the position is the process's own too.
    size = os.fstat(stream.fileno()).st_size
    return os.pread(stream.fileno(), size, 0).decode(errors="replace").splitlines()
