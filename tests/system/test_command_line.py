"""What the commands print where it cannot be printed, and what they say of themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

LISTS = ["", ".main --help", ".main --version", ".evaluate --help", ".cells"]


def shell(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    arguments = ["bash", "-c", f"set -o pipefail; {command}"]
    return subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("listing", [name for name in LISTS if name != ".evaluate --help"])
def test_a_listing_that_cannot_be_written_is_one_line(root: Path, listing: str) -> None:
    done = shell(root, f"{sys.executable} -m rnnjax{listing} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "rnnjax: standard output cannot be written: No space left on device; send it elsewhere\n"
    )


@pytest.mark.parametrize("listing", LISTS)
def test_whoever_reads_a_listing_may_stop(root: Path, listing: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", *f"rnnjax{listing}".split()]
    done = subprocess.run(command, cwd=root, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    # With PYTHONUNBUFFERED, argparse itself meets the error, and passes over it.
    assert done.returncode == 1 or (done.returncode == 0 and "evaluate" in listing)
    assert done.stderr == b""


def test_a_flag_file_is_checked_as_the_command_line_is(root: Path, tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("--config.sed=3\n")
    run = f"{sys.executable} -m rnnjax.main --workdir={tmp_path}/run --config=experiments/smoke.py"
    files = (("flags", "unknown setting config.sed"), ("none", "No such file"), ("bin", "decode"))
    (tmp_path / "bin").write_bytes(b"\xff\xd0")
    for file, words in files:
        done = shell(root, f"{run} --flagfile={tmp_path}/{file}")
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_evaluate_of_what_is_no_workdir(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = shell(root, f"{sys.executable} -m rnnjax.evaluate --workdir={tmp_path}/file")
    assert done.returncode == 2
    assert done.stderr == f"rnnjax: {tmp_path}/file is no folder\n"
