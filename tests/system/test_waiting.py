"""What is shown while a program is busy: on a real terminal, and elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys, time
from rnnjax.system import waiting
waiting.LINE_SECONDS = 0.2
try:
    with waiting.waiting("loading data", lines={lines}):
        time.sleep({seconds})
        {then}
finally:
    print("ready", flush=True)
"""


def program(seconds: float, then: str = "", *, lines: bool = True) -> list[str]:
    return [sys.executable, "-c", CODE.format(seconds=seconds, then=then, lines=lines)]


def on_terminal(command: list[str], root: Path, **environment: str) -> str:
    """Returns all that a command writes to a terminal."""
    primary, secondary = pty.openpty()
    environment = {**os.environ, **environment}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdout=secondary, stderr=secondary
    ) as process:
        os.close(secondary)
        written = b""
        while True:
            try:
                chunk = os.read(primary, 4096)
            except OSError:  # the program has ended
                break
            if not chunk:
                break
            written += chunk
    os.close(primary)
    assert process.returncode in (0, 3)
    return written.decode()


@pytest.mark.process
@pytest.mark.parametrize("then", ["", "sys.exit(3)"])
def test_a_terminal_shows_a_spinner_with_seconds_and_nothing_is_left_of_it(
    root: Path, then: str
) -> None:
    written = on_terminal(program(1.3, then), root)
    frames = written.split("\r\x1b[K")
    assert frames[0] == ""
    assert frames[1:3] == ["| loading data 0 s", "/ loading data 0 s"]
    assert "1 s" in frames[-2]
    assert frames[-1] == "ready\r\n"


@pytest.mark.process
def test_what_takes_no_time_shows_nothing(root: Path) -> None:
    assert on_terminal(program(0), root) == "ready\r\n"


@pytest.mark.process
def test_a_notebook_has_whole_lines_although_it_has_a_terminal(root: Path) -> None:
    written = on_terminal(program(0.5), root, JPY_PARENT_PID="1")
    assert written == "loading data 0 s\r\nready\r\n"


@pytest.mark.process
def test_nobody_watches_the_terminals_that_mpirun_has_for_its_processes(root: Path) -> None:
    written = on_terminal(program(0.5, lines=False), root, OMPI_COMM_WORLD_RANK="1")
    assert written == "ready\r\n"


@pytest.mark.process
def test_elsewhere_there_are_whole_lines(root: Path) -> None:
    done = subprocess.run(program(1.8), cwd=root, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "loading data 0 s"
    assert "loading data 1 s" in lines
    assert len(lines) <= 4  # after 0.2, 0.6 and 1.4 s
    assert lines[-1] == "ready"
    assert not done.stderr


@pytest.mark.process
def test_elsewhere_there_is_nothing_of_a_command_whose_output_others_read(root: Path) -> None:
    command = program(0.5, lines=False)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "ready\n"


@pytest.mark.process
def test_a_full_disk_is_told_by_the_program_itself(root: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            program(0.5), cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "Exception in thread" not in done.stderr
    assert "No space left" in done.stderr
