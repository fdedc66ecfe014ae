"""A process that measures cases, and writes each row as soon as it is there.

    python -m benchmarks.gpu.worker LOG CASES [torch]

A process of its own, since a fault on a GPU ends whatever its process still had to do, and nothing
but its end can stop a compiler. Where the device no longer answers, the process ends by itself; it
does so too when its input ends, as it does with the process that has started it.
"""

import importlib
import json
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import at_once, correctness, memory, repeatability, speed
from benchmarks.gpu.log import Log
from benchmarks.gpu.rows import FAILED, LEFT_OUT, Row, refusal
from benchmarks.networks import cell_of

PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "correctness": correctness.run,
    "speed": speed.run,
    "repeatability": repeatability.run,
    "seeds": at_once.run_seeds,
    "dispatch": at_once.run_dispatch,
    "bf16": speed.run_bf16,
    "memory": memory.run,
}


def facts(of_torch: bool) -> dict[str, Any]:
    """What measures: the device and the versions, or those of torch."""
    if of_torch:
        return importlib.import_module("benchmarks.gpu.torch_programs").facts()
    device = jax.devices()[0]
    return {
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "runtime": " ".join(device.client.platform_version.split()),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "Python": platform.python_version(),
        **{module.__name__: module.__version__ for module in (jax, flax, np)},
    }


def measure(log: Log, number: int, part: str, arguments: dict[str, Any]) -> bool:
    """Writes a row for each contender of a case, at least; returns whether nothing failed."""
    log.write({"begin": number})
    labels = {name: value for name, value in arguments.items() if name != "contenders"}
    rest: Row = {"status": FAILED, "reason": "it has no row"}
    try:
        for row in _rows(log, part, arguments):
            log.write({"row": {"part": part, **labels, **row}, "case": number})
    except Exception as error:  # of any library: a GPU that faults fails whatever comes next
        rest = refusal(error)
    log.end(number, part, arguments, rest)
    return all(row["status"] != FAILED for row in log.rows(number))


def _rows(log: Log, part: str, arguments: dict[str, Any]) -> Iterator[Row]:
    if "contenders" in arguments:
        wrong = found_wrong(log, arguments["kind"]) & {*arguments["contenders"]}
        for name in sorted(wrong):
            reason = "it failed the check against float64"
            yield {"contender": name, "status": LEFT_OUT, "reason": reason}
        contenders = [name for name in arguments["contenders"] if name not in wrong]
        arguments = arguments | {"contenders": contenders}
    yield from PARTS[part](**arguments)


def found_wrong(log: Log, kind: str) -> set[str]:
    """Returns which contenders have failed the check of this kind of network, or of its cell."""
    kinds = {kind, cell_of(kind)}
    return {
        row["contender"]
        for row in log.rows()
        if row["part"] == "correctness" and row["kind"] in kinds and row["status"] == FAILED
    }


def end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    threading.Thread(target=end_with_input, daemon=True).start()
    log, cases = Log(Path(sys.argv[1])), json.loads(sys.argv[2])
    log.write({"facts": facts("torch" in sys.argv[3:])})
    for number, part, arguments in cases:
        if not measure(log, number, part, arguments):
            jax.block_until_ready(jnp.ones(8) + 1)  # raises where the device is gone


if __name__ == "__main__":
    main()
