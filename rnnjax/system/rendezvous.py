"""The processes of one run meet, before JAX has them meet.

JAX waits for absent processes in C++, where no signal is heard, and aborts with a dump for whatever
is wrong: a process that does not come, an index that two have, a port in use. So all of this is
sorted out before, at the same address, where JAX then finds everybody.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from rnnjax.errors import ConfigError, RunError

PATIENCE_SECONDS = 120  # that a process waits for the others
REFUSAL_SECONDS = 5  # that the primary process goes on to refuse those that come
RETRY_SECONDS = 0.2
MAX_BYTES = 4096  # of what one process tells another


class Process(NamedTuple):
    """What a process says of itself, in one line of JSON; the answer is an error, or empty."""

    num_processes: int  # that it expects
    process_index: int  # 0: the primary one
    version: str  # of rnnjax


def meet(host: str, port: int, process: Process) -> None:
    """Returns when all processes of a run have come to `host:port`, where the primary one listens.

    Raises:
      ConfigError: if the address cannot be.
      RunError: if the processes do not fit each other, or do not all come in time.
    """
    if not 0 < port < 2**16:
        raise ConfigError(f"--distributed: a port is from 1 to {2**16 - 1}, got {port}")
    try:
        socket.getaddrinfo(host, port)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--distributed: the host {host!r} is unknown ({error})") from error
    meeting = _receive if process.process_index == 0 else _call
    if error := asyncio.run(meeting(host, port, process)):
        raise RunError(f"--distributed: {error}")


def interface(host: str) -> str:
    """Returns where to listen for those who call a host: at all interfaces, but for localhost."""
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    return host if addresses <= {"127.0.0.1", "::1"} else ""


async def _receive(host: str, port: int, primary: Process) -> str:
    """Waits for all others and answers to them; returns what is wrong with them, or nothing."""
    indices: set[int] = set()
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reading: set[asyncio.Task[Any]] = set()
    answering: set[asyncio.Task[Any]] = set()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        reading.add(task)
        async with _closing(writer):
            caller = await _read_process(reader)
            if caller is None:  # it is no process of a run, whatever it is
                return
            reading.remove(task)
            answering.add(task)
            error = _disagreement(primary, caller, caller.process_index in indices)
            indices.add(caller.process_index)
            if not answer.done() and (error or len(indices) == primary.num_processes - 1):
                answer.set_result(error)
            if not await _waits_for(answer, reader):  # it was stopped, and may come again
                indices.remove(caller.process_index)
                answering.remove(task)
                return
            writer.write(json.dumps(await asyncio.shield(answer)).encode() + b"\n")

    try:
        server = await asyncio.start_server(greet, interface(host) or None, port, limit=MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"--distributed: port {port} cannot be had: {error.strerror}") from error
    async with server:
        others = primary.num_processes - 1
        if others:
            print(
                f"waiting for {others} of {primary.num_processes} processes at {host}:{port}",
                flush=True,
            )
        else:
            answer.set_result("")
        try:
            error = await asyncio.wait_for(asyncio.shield(answer), PATIENCE_SECONDS)
        except TimeoutError:
            absent = min({*range(1, primary.num_processes)} - indices)
            error = (
                f"process {absent} of {primary.num_processes} did not come within "
                f"{PATIENCE_SECONDS} s"
            )
            answer.set_result(error)
        if error:
            await asyncio.sleep(REFUSAL_SECONDS)
        for task in reading:
            task.cancel()
        await asyncio.gather(*answering, *reading, return_exceptions=True)
    return error


async def _call(host: str, port: int, process: Process) -> str:
    """Calls the primary process until it answers; returns its answer."""
    deadline, waits = time.monotonic() + PATIENCE_SECONDS, False
    while (remaining := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(remaining):
                reader, writer = await asyncio.open_connection(host, port, limit=MAX_BYTES)
            async with asyncio.timeout(PATIENCE_SECONDS + REFUSAL_SECONDS), _closing(writer):
                writer.write(json.dumps(process._asdict()).encode() + b"\n")
                return str(json.loads(await reader.readline()))
        if not waits:
            print(f"waiting for the primary process at {host}:{port}", flush=True)
            waits = True
        await asyncio.sleep(RETRY_SECONDS)
    return f"the primary process did not come to {host}:{port} within {PATIENCE_SECONDS} s"


async def _waits_for(answer: asyncio.Future[str], reader: asyncio.StreamReader) -> bool:
    """Whether a caller, who has nothing more to say, is still there when the answer is."""
    more = asyncio.ensure_future(reader.read(1))
    await asyncio.wait({answer, more}, return_when=asyncio.FIRST_COMPLETED)
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)
    return answer.done()


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
    kinds = tuple(map(type, process))
    return (
        process
        if kinds == (int, int, str) and 0 < process.process_index < process.num_processes
        else None
    )


def _disagreement(primary: Process, caller: Process, is_second: bool) -> str:
    if caller.num_processes != primary.num_processes:
        return (
            f"process {caller.process_index} expects {caller.num_processes} processes, "
            f"the primary one {primary.num_processes}"
        )
    if caller.version != primary.version:
        return (
            f"process {caller.process_index} has rnnjax {caller.version}, "
            f"the primary one {primary.version}"
        )
    return f"two processes have the index {caller.process_index}" if is_second else ""
