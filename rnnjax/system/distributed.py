"""Several processes that are one run: they find each other, and the primary one acts for all."""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all, process_allgather

from rnnjax.errors import RunError
from rnnjax.system import aborts, clusters, numerics, rendezvous
from rnnjax.system.messages import say
from rnnjax.system.rendezvous import Process

HEARTBEAT_SECONDS = 10  # of silence, after which a process counts as dead and its run ends
LOST_PROCESS = (
    "another process of this run ended or did not come, and may have printed why; once all are "
    "back, the same command goes on from the newest checkpoint"
)
MAX_MESSAGE_BYTES = 2**20  # of what the primary process tells the others
T = TypeVar("T")


def initialize(cluster: str, version: str, *, debug: bool = False) -> None:
    """Waits for the other processes of this run.

    From here on, this process ends with one line where JAX would abort it with a dump, as it does
    when another process of the run is gone.

    Args:
      cluster: `auto`: as SLURM, Open MPI, a TPU pod or Kubernetes say; elsewhere
        `HOST:PORT,PROCESSES,INDEX`: where the primary process listens, how many there are, which
        this is; the primary one is 0.
      version: of rnnjax, which must be the same in all processes, as its sources are and the
        versions of JAX, flax and optax.
      debug: whether the dumps of libraries are to be seen.

    Raises:
      ConfigError: if the address cannot be, INDEX is not below PROCESSES, there is no cluster to
        ask, or what it says contradicts itself.
      RunError: if the others do not come, or do not fit this one.
    """
    if not debug:
        aborts.silence_libraries()
    aborts.exit_at_abort(RunError.exit_code, LOST_PROCESS)
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    place = clusters.place(cluster, rendezvous.PATIENCE_SECONDS)
    own = {"rnnjax": version, "sources of rnnjax": numerics.sources()}
    versions = own | numerics.versions()
    process = Process(place.num_processes, place.process_index, versions)
    rendezvous.meet(place.host, place.port, process)  # right before JAX does
    try:
        jax.distributed.initialize(
            place.address,
            place.num_processes,
            place.process_index,
            place.local_device_ids,
            cluster_detection_method="deactivate",  # it has been asked
            coordinator_bind_address=place.address if rendezvous.interface(place.host) else None,
            initialization_timeout=rendezvous.JAX_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except RuntimeError as error:
        raise RunError(
            f"the processes of --distributed={cluster} did not all come within "
            f"{rendezvous.JAX_SECONDS} s: {str(error).splitlines()[0]}"
        ) from error


def is_primary() -> bool:
    """Whether this process is the one that prints, and reads and writes the workdir."""
    return jax.process_index() == 0


def print_on_primary(text: str) -> None:
    """Prints a line, once for all processes.

    Raises:
      RunError: if standard output cannot be written.
    """
    if is_primary():
        say(text)


def broadcast_from_primary(action: Callable[[], T]) -> T:
    """Returns, in all processes, what a function returns in the primary one, where alone it runs.

    Arrays go by `broadcast_arrays`.

    Args:
      action: returns what JSON has: None, numbers, text, lists, dicts; a tuple becomes a list.

    Raises:
      Exception: what the function raises, in the primary process; a RunError in all others.
    """
    if jax.process_count() == 1:
        return action()
    error, message = None, {}
    if is_primary():
        try:
            message = {"result": action(), "exit_code": 0}
        except Exception as raised:
            error = raised
            message = {"exit_code": getattr(raised, "exit_code", RunError.exit_code)}
    received = _broadcast_bytes(json.dumps(message).encode())
    if error is not None:
        raise error
    try:
        answer = json.loads(received)
        exit_code = int(answer["exit_code"])
        result: T = answer.get("result")
    except (ValueError, LookupError, TypeError, RecursionError) as damage:
        raise RunError("the primary process of this run told the others no JSON") from damage
    if exit_code:
        raise PrimaryProcessError(exit_code)
    return result


class PrimaryProcessError(RunError):
    """The primary process could not go on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("the primary process of this run stopped; what it printed says why")
        self.exit_code = exit_code


def broadcast_arrays(tree: T) -> T:
    """Returns, in all processes, the primary one's arrays; the shapes are the same in all."""
    return tree if jax.process_count() == 1 else jax.tree.map(broadcast_one_to_all, tree)


def gather_devices(rows: jax.Array) -> np.ndarray:
    """Returns the rows `[D, ...]` of the devices of all processes, in their order, on each host."""
    own = jax.device_get(rows)
    return own if jax.process_count() == 1 else process_allgather(own, tiled=True)


def _broadcast_bytes(message: bytes) -> bytes:
    size = int(broadcast_one_to_all(np.int32(len(message))))
    if not 0 <= size <= MAX_MESSAGE_BYTES:
        raise RunError(f"the primary process of this run has {size} bytes to tell the others")
    padded = np.frombuffer(message[:size].ljust(size), np.uint8)
    return np.asarray(broadcast_one_to_all(padded)).tobytes()


@contextlib.contextmanager
def lost_process_as_run_error() -> Iterator[None]:
    """Turns what JAX raises when another process is gone into one line for people.

    Raises:
      RunError: instead.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # Gloo, which has the collectives of CPUs, fails with either.
        lost = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if not jax.distributed.is_initialized() or not lost:
            raise
        raise RunError(f"{LOST_PROCESS} ({str(error).splitlines()[0]})") from error


def exit_process(exit_code: int) -> NoReturn:
    """Ends this process after an error, and does not wait long for others that may not know."""
    if jax.distributed.is_initialized():
        aborts.exit_at_abort(exit_code, "")  # the error has been printed
        # In a thread, since others that wait for this one in a collective never come to shut down.
        shutdown = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        shutdown.start()
        shutdown.join(HEARTBEAT_SECONDS / 2)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
