"""Text for a terminal, and what a command says where it cannot run."""

import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax.system.messages import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, ÄÖ 漢 ✓ 'quoted' \"twice\"", "plain, ÄÖ 漢 ✓ 'quoted' \"twice\""),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\u202eb", r"a\u202eb"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\udcff", r"\udcff"),
        ("", ""),
    ],
)
def test_what_is_not_shown_as_it_is(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert all(c.isprintable() for c in printable(text))


@pytest.mark.process
def test_a_system_without_locks_is_told_in_one_line(root: Path) -> None:
    code = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "fcntl" else find_spec(name, *a)
sys.argv = ["main", "--workdir=unused", "--config=experiments/lstm.py"]
from rnnjax import main
main.run()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "rnnjax: rnnjax runs on Linux and macOS; on Windows, in WSL\n"
