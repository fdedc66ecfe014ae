"""The processes of one run meet, before JAX has them meet.

JAX waits for absent processes in C++, where no signal is heard, and aborts with a dump for whatever
is wrong: a process that does not come, an index that two have, a port in use. So all of this is
sorted out before, at the same address, where JAX then finds everybody.

A process that ends after the others were told that all are there, and before it has called JAX, is
still waited for in C++: a few milliseconds, since nothing else is done in between, and then the
others end after `JAX_SECONDS`, in one line.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from rnnjax.errors import ConfigError, RunError
from rnnjax.system.messages import say

PATIENCE_SECONDS = 120  # that a process waits for the others
REFUSAL_SECONDS = 5  # that the primary process goes on to refuse those that come
JAX_SECONDS = 20  # that JAX waits for processes that have just met
RETRY_SECONDS = 0.2
MAX_BYTES = 4096  # of what one process tells another
HEARD = "..."  # what the primary process says at once, and then waits for the others
STILL_HERE = "?"  # what it asks; the answer is what was said before


class Process(NamedTuple):
    """What a process says of itself, in one line of JSON.

    The primary process says that it was `HEARD`, asks once whether it is `STILL_HERE`, and then
    tells an error, or nothing.
    """

    num_processes: int  # that it expects
    process_index: int  # 0: the primary one
    versions: dict[str, str]  # of rnnjax, and of the libraries that make its programs


def meet(host: str, port: int, process: Process) -> None:
    """Returns when all processes of a run have come to `host:port`, where the primary one listens.

    Raises:
      ConfigError: if the port cannot be.
      RunError: if the host is unknown, or not all processes come in time and fit each other.
    """
    if not 0 < port < 2**16:
        raise ConfigError(f"--distributed: a port is from 1 to {2**16 - 1}, got {port}")
    interface(host)  # an error if the host is unknown, for those who call it too
    meeting = _receive if process.process_index == 0 else _call
    if error := asyncio.run(meeting(host, port, process)):
        raise RunError(f"--distributed: {error}")


def interface(host: str) -> str:
    """Returns where to listen for those who call a host: at all interfaces, but for localhost.

    Raises:
      RunError: if the host is unknown, as that of a machine is that has yet to start.
    """
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as error:
        raise RunError(f"--distributed: the host {host!r} is unknown ({error})") from error
    return host if addresses <= {"127.0.0.1", "::1"} else ""


async def _receive(host: str, port: int, primary: Process) -> str:
    """Waits for all others and answers to them; returns what is wrong with them, or nothing."""
    news: asyncio.Queue[_News] = asyncio.Queue()
    greeting: set[asyncio.Task[Any]] = set()
    callers: set[asyncio.StreamWriter] = set()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        greeting.add(task)
        task.add_done_callback(greeting.discard)
        # Cancelled when all is said, it just ends: Python 3.11 would print a traceback of it.
        with contextlib.suppress(asyncio.CancelledError):
            async with _closing(writer):
                await listen(reader, writer)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = await _read_process(reader)
        if caller is None:  # it is no process of a run, whatever it is
            return
        callers.add(writer)
        _tell(writer, HEARD)
        news.put_nowait(_News(caller, writer, is_there=True))
        while await _read_process(reader) == caller:
            news.put_nowait(_News(caller, writer, is_there=True))
        callers.remove(writer)  # it was stopped, and may come again
        news.put_nowait(_News(caller, writer, is_there=False))

    try:
        server = await asyncio.start_server(greet, interface(host) or None, port, limit=MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"--distributed: port {port} cannot be had: {error.strerror}") from error
    async with server:
        others = primary.num_processes - 1
        if others:
            say(f"waiting for {others} of {primary.num_processes} processes at {host}:{port}")
        error = await _all_here(primary, news)
        for writer in callers:
            _tell(writer, error)
        if error:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFUSAL_SECONDS):
                    while True:
                        _tell((await news.get()).writer, error)
        remaining = [*greeting]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)
    return error


class _News(NamedTuple):
    """What the primary process hears of a caller, who says the same each time."""

    caller: Process
    writer: asyncio.StreamWriter
    is_there: bool  # False: it has gone


async def _all_here(primary: Process, news: asyncio.Queue[_News]) -> str:
    """Waits until all others have come and then, asked once more, said so again.

    One that was halted meanwhile, or whose machine is gone, does not. Returns what is wrong, or
    nothing.
    """
    others = range(1, primary.num_processes)
    here: dict[int, asyncio.StreamWriter] = {}
    asked: set[int] = set()  # who is to say so again
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(here) < len(others) or asked:
                caller, writer, is_there = await news.get()
                index = caller.process_index
                if here.get(index) is writer:
                    asked.discard(index)
                    if not is_there:
                        del here[index]
                elif is_there:
                    if error := _disagreement(primary, caller, index in here):
                        return error
                    here[index] = writer
                    if len(here) == len(others):
                        asked.update(here)
                        for each in here.values():
                            _tell(each, STILL_HERE)
    except TimeoutError:
        missing = next(index for index in others if index not in here or index in asked)
        did = "answer" if missing in here else "come"
        return (
            f"process {missing} of {primary.num_processes} did not {did} within "
            f"{PATIENCE_SECONDS} s"
        )
    return ""


def _tell(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(json.dumps(text).encode() + b"\n")


async def _call(host: str, port: int, process: Process) -> str:
    """Calls the primary process until it answers; returns its answer."""
    seconds, waits, was_heard = PATIENCE_SECONDS, False, False

    def wait_for_others() -> None:  # once: who says it again and again holds nobody up
        nonlocal seconds, was_heard
        if not was_heard:
            seconds, was_heard = PATIENCE_SECONDS + REFUSAL_SECONDS, True
            timeout.reschedule(asyncio.get_running_loop().time() + seconds)

    try:
        async with asyncio.timeout(seconds) as timeout:
            while (answer := await _ask(host, port, process, wait_for_others)) is None:
                if not waits:
                    say(f"waiting for the primary process at {host}:{port}")
                    waits = True
                await asyncio.sleep(RETRY_SECONDS)
            return answer
    except TimeoutError:
        what = "say whether all have come" if was_heard else "answer"
        return f"the primary process did not {what} at {host}:{port} within {seconds} s"


async def _ask(
    host: str, port: int, process: Process, wait_for_others: Callable[[], None]
) -> str | None:
    """Returns what the primary process answers; None if nobody does, or it makes no sense."""
    hello = json.dumps(process._asdict()).encode() + b"\n"
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_BYTES)
        async with _closing(writer):
            writer.write(hello)
            while (answer := json.loads(await reader.readline())) in (HEARD, STILL_HERE):
                if answer == HEARD:
                    wait_for_others()
                else:
                    writer.write(hello)
    except (OSError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, str) else None


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Sends what is written, and closes the connection, whatever happens."""
    try:
        yield
        with contextlib.suppress(OSError):  # the other one has gone meanwhile
            await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_process(reader: asyncio.StreamReader) -> Process | None:
    """Returns what a caller says of itself; None if that makes no sense, or takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            process = Process(**json.loads(await reader.readline()))
    except (OSError, TimeoutError, ValueError, TypeError, RecursionError):
        return None
    makes_sense = (
        tuple(map(type, process)) == (int, int, dict)
        and {*map(type, process.versions.values())} <= {str}
        and 0 < process.process_index < process.num_processes
    )
    return process if makes_sense else None


def _disagreement(primary: Process, caller: Process, is_second: bool) -> str:
    if caller.num_processes != primary.num_processes:
        return (
            f"process {caller.process_index} expects {caller.num_processes} processes, "
            f"the primary one {primary.num_processes}"
        )
    for name in {**primary.versions, **caller.versions}:
        theirs, own = (process.versions.get(name, "none") for process in (caller, primary))
        if theirs != own:
            return f"process {caller.process_index} has {name} {theirs}, the primary one {own}"
    return f"two processes have the index {caller.process_index}" if is_second else ""
