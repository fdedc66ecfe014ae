"""Runs a plan in processes, each for as long as its parts have time, whatever becomes of it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.gpu.log import Log
from benchmarks.gpu.plan import CASE_SECONDS, Case
from benchmarks.gpu.rows import FAILED, LEFT_OUT, one_line

ROOT = Path(__file__).parents[2]
LOOK_EVERY = 0.1  # seconds
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # as README.md has it

Numbered = list[tuple[int, Case]]
Deadlines = Mapping[tuple[str, str] | None, float]  # of each stage, by the monotonic clock


def run_plan(plan: Iterable[Case], deadlines: Deadlines, log: Log) -> None:
    """Runs all cases for which there is time.

    Args:
      plan: the cases, in order.
      deadlines: after which no case of a stage begins or goes on.
      log: gets the rows, also of what failed and of what there was no time for.

    Raises:
      KeyboardInterrupt: if it is stopped; then no process is left.
    """
    waiting = [*enumerate(plan)]
    while waiting:
        late, waiting = _split(waiting, deadlines)
        for number, case in late:
            end_case(log, number, case, LEFT_OUT, "there was no time left for it")
        if not waiting:
            return
        name = waiting[0][1].process
        print(f"{name}: {waiting[0][1].part}", flush=True)
        _, of_process = next(itertools.groupby(waiting, lambda item: item[1].process))
        group = [*of_process]
        status, reason = run_process(name, group, deadlines, log)
        begun = {*log.begun()}
        unfinished = [(n, case) for n, case in group if n in begun]
        if status == FAILED and not {n for n, _ in group} & {*begun, *log.read("end")}:
            unfinished = group  # none of them could begin
        for number, case in unfinished:
            # What others ran beside is not known; what ran alone is not tried again.
            alone = len(log.without_row(number, case.arguments)) == 1
            end_case(log, number, case, FAILED if alone else status, reason)
        done = {*log.read("end")}
        waiting = [(n, case) for n, case in waiting if n not in done]


def run_process(name: str, cases: Numbered, deadlines: Deadlines, log: Log) -> tuple[str, str]:
    """Runs cases in a process; returns the status of one that has not ended, and the reason.

    Without cases, it is the facts that are wanted. The deadline of no stage is that of the process.
    """
    told = json.dumps([(number, case.part, case.arguments) for number, case in cases])
    command = [sys.executable, "-m", "benchmarks.gpu.worker", str(log.path), told]
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        worker = subprocess.Popen(
            command + ["torch"] * (name == "torch"),
            cwd=ROOT,
            env=environment(name),
            stdin=subprocess.PIPE,  # it ends with this, whatever ends this process
            stdout=output,
            stderr=output,
        )
        try:
            began: dict[int, float] = {}
            while worker.poll() is None:
                now, ended = time.monotonic(), {*log.read("end")}
                to_come = [case.stage for n, case in cases if n not in ended]
                if now > deadlines[to_come[0] if to_come else None]:
                    return LEFT_OUT, "the time was up while it ran"
                began = {n: began.get(n, now) for n in log.begun()}
                if any(now - start > CASE_SECONDS for start in began.values()):
                    return LEFT_OUT, f"it had not ended after {CASE_SECONDS} s"
                time.sleep(LOOK_EVERY)
        finally:
            worker.kill()
            worker.communicate()
        output.seek(0)
        lines = [line for line in output.read().splitlines() if line.strip()]
    code = worker.returncode
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    return FAILED, one_line(": ".join([f"its process ended {how}", *lines[-1:]]))


def environment(process: str) -> dict[str, str]:
    """Returns the environment of a process."""
    # Torch and JAX share the GPU's memory, and a peak is to be what was needed.
    added = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if process.endswith("torch"):
        added["JAX_PLATFORMS"] = "cpu"
    elif platforms and "cpu" not in platforms.split(","):
        added["JAX_PLATFORMS"] = f"{platforms},cpu"  # which has what is compared with
    if process.startswith("deterministic"):
        added["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    return {**os.environ, **added}


def _split(cases: Numbered, deadlines: Deadlines) -> tuple[Numbered, Numbered]:
    """Returns the cases whose time is up, and the others."""
    now = time.monotonic()
    return (
        [(n, case) for n, case in cases if now > deadlines[case.stage]],
        [(n, case) for n, case in cases if now <= deadlines[case.stage]],
    )


def end_case(log: Log, number: int, case: Case, status: str, reason: str) -> None:
    """Ends a case that its process has not ended."""
    log.end(number, case.part, case.arguments, {"status": status, "reason": reason})
