"""JAX's own meeting, when a process that was just there is not."""

import socket
import subprocess
import sys

import pytest

from rnnjax.system.distributed import LOST_PROCESS

pytestmark = pytest.mark.process

MEET = """
from rnnjax.system import distributed, rendezvous
rendezvous.JAX_SECONDS = 2
distributed.initialize("localhost:{port},2,1", "1.0")
"""


def test_one_that_ends_before_jax_has_them_meet_is_told_in_one_line() -> None:
    """JAX alone would wait for minutes and end with a dump."""
    with socket.create_server(("localhost", 0)) as primary:
        command = [sys.executable, "-c", MEET.format(port=primary.getsockname()[1])]
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        call, _ = primary.accept()
        with call:
            call.sendall(b'""\n')  # all are there
    _, errors = waiting.communicate(timeout=90)
    assert (waiting.returncode, errors) == (1, f"rnnjax: {LOST_PROCESS}\n")
