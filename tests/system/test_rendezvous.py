"""Processes that meet, as threads: each has an event loop of its own."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from rnnjax.errors import ConfigError, RunError
from rnnjax.system import rendezvous

HELLO = b'{"num_processes": 3, "process_index": 1, "versions": {"rnnjax": "1.0"}}\n'


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "PATIENCE_SECONDS", 3)
    monkeypatch.setattr(rendezvous, "REFUSAL_SECONDS", 1)


def meet(port: int, count: int, index: int, host: str = "localhost") -> None:
    rendezvous.meet(host, port, rendezvous.Process(count, index, {"rnnjax": "1.0"}))


def meet_all(port: int, *processes: tuple[int, int]) -> list[Future[None]]:
    """Has processes meet, `(count, index)` each, and returns how it ended for each."""
    with ThreadPoolExecutor(len(processes)) as pool:
        return [pool.submit(meet, port, *process) for process in processes]


def errors(ends: list[Future[None]]) -> list[str]:
    return [str(end.exception()) for end in ends]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_come(
    port: int,
    order: tuple[int, ...],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for end in meet_all(port, *((3, index) for index in order)):
        end.result()
    assert f"waiting for 2 of 3 processes at localhost:{port}" in capsys.readouterr().out
    assert not caplog.records  # asyncio's own, of an event loop in which something was raised


def test_one_alone_waits_for_nobody(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    meet(port, 1, 0)
    assert capsys.readouterr().out == ""


def test_one_does_not_come(port: int) -> None:
    for error in errors(meet_all(port, (3, 0), (3, 2))):
        assert "process 1 of 3 did not come within 3 s" in error


def test_the_primary_one_does_not_come(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=f"did not answer at localhost:{port} within 3 s"):
        meet(port, 2, 1)
    assert capsys.readouterr().out == f"waiting for the primary process at localhost:{port}\n"


def test_the_last_one_comes_late_after_a_late_primary_one(port: int) -> None:
    """Each wait has its own patience: for the primary one, and then for the others."""
    with ThreadPoolExecutor(3) as pool:
        ends = []
        for index, seconds in ((1, 2.0), (0, 2.0), (2, 0.0)):
            ends.append(pool.submit(meet, port, 3, index))
            time.sleep(seconds)
    for end in ends:
        end.result()


def test_counts_that_disagree(port: int) -> None:
    for error in errors(meet_all(port, (2, 0), (3, 1))):
        assert "process 1 expects 3 processes, the primary one 2" in error


def test_an_index_twice(port: int) -> None:
    for error in errors(meet_all(port, (3, 0), (3, 1), (3, 1))):
        assert "two processes have the index 1" in error


def test_one_that_stops_while_it_waits_may_come_again(port: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        ends = [pool.submit(meet, port, 3, 0)]
        with contextlib.closing(connect(port)) as stopped:
            stopped.sendall(HELLO)
            time.sleep(0.1)  # so that it is counted before it is gone
        ends += [pool.submit(meet, port, 3, index) for index in (1, 2)]
    for end in ends:
        end.result()


def test_one_that_stops_when_all_have_come_may_come_again(port: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        ends = [pool.submit(meet, port, 3, 0)]
        with connect(port) as stopped, stopped.makefile("rb") as heard:
            stopped.sendall(HELLO)
            ends.append(pool.submit(meet, port, 3, 2))
            answers = [json.loads(heard.readline()) for _ in range(2)]
            assert answers == [rendezvous.HEARD, rendezvous.STILL_HERE]
        ends.append(pool.submit(meet, port, 3, 1))
    for end in ends:
        end.result()


def test_one_that_halts_while_it_waits(port: int) -> None:
    """The others must not go on to JAX, which would wait for it in C++."""
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(meet, port, 3, index) for index in (0, 2)]
        with contextlib.closing(connect(port)) as halted:
            halted.sendall(HELLO)
            for error in errors(ends):
                assert "process 1 of 3 did not answer within 3 s" in error


@pytest.mark.parametrize(
    "answer", [b"", b"[" * 4000 + b"\n", b"3\n", b"null\n", b"{}\n", b"\xff\n", b"x" * 100_000]
)
def test_no_sense_is_no_answer(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty: something accepts and never says anything."""
    monkeypatch.setattr(rendezvous, "PATIENCE_SECONDS", 0)
    calls: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                calls.append(listener.accept()[0])
                if answer:
                    calls[-1].sendall(answer)
                    calls[-1].close()

    with socket.create_server(("localhost", 0)) as listener, ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve)
        try:
            with pytest.raises(RunError, match="the primary process did not answer at"):
                meet(listener.getsockname()[1], 2, 1)
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread
            served.result()
    for call in calls:
        call.close()


@pytest.mark.parametrize(
    ("versions", "error"),
    [
        ({"rnnjax": "0.0.1"}, "process 1 has rnnjax 0.0.1, the primary one 1.0"),
        ({"rnnjax": "1.0", "jax": "9"}, "process 1 has jax 9, the primary one none"),
    ],
)
def test_another_version(port: int, versions: dict[str, str], error: str) -> None:
    other: Any = rendezvous.Process(2, 1, versions)
    with ThreadPoolExecutor(1) as pool:
        primary = pool.submit(meet, port, 2, 0)
        with connect(port) as call, call.makefile("rb") as heard:
            call.sendall(json.dumps(other._asdict()).encode() + b"\n")
            answers = [json.loads(heard.readline()) for _ in range(2)]
    assert answers == [rendezvous.HEARD, error]
    assert error in str(primary.exception())


def connect(port: int) -> socket.socket:
    """Calls the primary process, once it listens."""
    deadline = time.monotonic() + 3
    while True:
        try:
            return socket.create_connection(("localhost", port), timeout=3)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def tell(port: int, line: bytes) -> bytes:
    """Calls the primary process, and returns its answer."""
    with connect(port) as call:
        call.sendall(line + b"\n")
        return call.makefile("rb").readline()


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1", b"\x80\x04\x95", b"[" * 4000, b"x" * 100_000, b"{}", b"null",
     b'{"num_processes": 2, "process_index": true, "versions": {}}',
     b'{"num_processes": 2, "process_index": -1, "versions": {}}',
     b'{"num_processes": 2, "process_index": 1, "versions": {"jax": 1}}'],
)  # fmt: skip
def test_garbage_is_no_process(port: int, garbage: bytes) -> None:
    with ThreadPoolExecutor(2) as pool:
        primary = pool.submit(meet, port, 2, 0)
        with contextlib.suppress(ConnectionResetError):
            assert tell(port, garbage) == b""
        silent = socket.create_connection(("localhost", port))
        other = pool.submit(meet, port, 2, 1)
        for end in (primary, other):
            end.result()
        silent.close()


def test_addresses_that_cannot_be(port: int) -> None:
    for wrong in (0, 65536):
        with pytest.raises(ConfigError, match=f"a port is from 1 to 65535, got {wrong}"):
            meet(wrong, 2, 0)
    with pytest.raises(RunError, match=r"the host 'no.such.host.invalid' is unknown"):
        meet(port, 2, 1, host="no.such.host.invalid")
    in_use = pytest.raises(ConfigError, match=f"port {port} cannot be had")
    with socket.create_server(("localhost", port)), in_use:
        meet(port, 2, 0)


def test_a_name_for_this_machine_is_listened_at_there_alone() -> None:
    assert rendezvous.interface("localhost") == "localhost"
    assert rendezvous.interface("127.0.0.1") == "127.0.0.1"
    assert rendezvous.interface("0.0.0.0") == ""


def test_no_thread_is_left(port: int) -> None:
    before = threading.active_count()
    meet_all(port, (2, 0), (2, 1))
    assert threading.active_count() == before
