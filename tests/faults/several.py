"""Several processes that are one run: told to stop, killed, halted, alone, continued by fewer."""

import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rnnjax.runs.lock import locked
from rnnjax.runs.steps import steps_in
from rnnjax.system.distributed import HEARTBEAT_SECONDS
from tests.faults.bench import Bench, Case, Seen
from tests.faults.outcome import Outcome, check_equal, outcome
from tests.faults.process import Process
from tests.faults.quick import EVAL_EVERY
from tests.faults.signals import LIMIT
from tests.image_sets import store_mnist

PROCESSES = 2


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(workdir: Path, *settings: Sequence[str]) -> list[Process]:
    """Starts the processes of a run, the first first; `settings`: of each, or none."""
    address = free_address()
    return [
        Process(workdir, f"--distributed={address},{PROCESSES},{index}", *of_process)
        for index, of_process in enumerate(settings or [()] * PROCESSES)
    ]


def finish(workdir: Path, *settings: str) -> None:
    for process in start(workdir, *[settings] * PROCESSES):
        process.must_succeed()


def told_to_stop(workdir: Path, index: int) -> str:
    """Only one of the processes gets the signal."""
    run = start(workdir)
    assert run[0].until_step(12), run[0].errors
    run[index].send(signal.SIGTERM)
    sent = time.monotonic()
    texts = [p.must_end(143, "SIGTERM", "the same command goes on from there") for p in run]
    assert time.monotonic() - sent < LIMIT, f"{time.monotonic() - sent:.1f} s until the end"
    ((step,),) = {tuple(re.findall(r"after step (\d+)", text)) for text in texts}
    assert steps_in(workdir / "checkpoints")[-1] == int(step), f"saved is not step {step}"
    return f"SIGTERM to process {index}: both exit 143 after the same step"


def lost(workdir: Path, index: int, number: signal.Signals) -> str:
    """One is killed, or halted: the other cannot go on, and must not wait for ever."""
    run = start(workdir)
    assert run[0].until_step(12), run[0].errors
    run[index].send(number)
    sent, other = time.monotonic(), run[1 - index]
    other.must_end(1, "another process of this run ended")
    seconds = time.monotonic() - sent
    run[index].kill()
    assert seconds < HEARTBEAT_SECONDS + 10, f"{seconds:.1f} s until the other ended"
    return f"{number.name} to process {index}: the other exits 1 with a line"


def killed(workdir: Path, index: int) -> str:
    return lost(workdir, index, signal.SIGKILL)


def halted(workdir: Path, index: int) -> str:
    return lost(workdir, index, signal.SIGSTOP)


def alone(workdir: Path, index: int, number: signal.Signals) -> str:
    """The others never come, and somebody loses patience."""
    process = Process(workdir, f"--distributed={free_address()},{PROCESSES},{index}")
    assert process.until_line("waiting for"), process.errors
    process.send(number)
    sent = time.monotonic()
    assert process.wait() == 128 + number, process.errors
    assert time.monotonic() - sent < 5, "it went on waiting"
    assert not workdir.exists(), "something was written"
    return f"{number.name} to a process that waits for others: ends at once"


def disagreeing(workdir: Path) -> str:
    address = free_address()
    run = [Process(workdir, f"--distributed={address},{tail}") for tail in ("2,0", "3,1")]
    for process in run:
        process.must_end(1, "process 1 expects 3 processes, the primary one 2")
    return "other counts: both exit 1"


def refused(workdir: Path) -> str:
    workdir.mkdir()
    with locked(workdir):
        run = start(workdir)
        run[0].must_end(1, "is in use by")
        run[1].must_end(1, "the primary process of this run stopped")
    return "workdir in use: both exit 1"


def of_other_settings(workdir: Path) -> str:
    first, second = start(workdir, (), ("--config.seed=5",))
    first.must_end(2, "config.seed is 0 in the primary process, 5 in process 1")
    second.must_end(2, "the primary process of this run stopped")
    assert not (workdir / "config.json").exists(), "something was written"
    return "other settings: both exit 2"


def of_other_data(bench: Bench) -> str:
    """The set of that name in the folder of the second one has a picture more."""
    workdir = bench.workdir()
    settings = []
    for index in range(PROCESSES):
        data_dir = bench.workdir()
        store_mnist(data_dir, num_train=600 + index)
        settings.append(("--config.data.name=mnist", f"--config.data.data_dir={data_dir}"))
    first, second = start(workdir, *settings)
    first.must_end(2, "need the same data", "sha256 of train is", "in process 1")
    second.must_end(2, "the primary process of this run stopped")
    assert not (workdir / "config.json").exists(), "something was written"
    return "other data: both exit 2"


def without_data(bench: Bench) -> str:
    """It is missing on the machine of the second one."""
    workdir, nowhere = bench.workdir(), bench.workdir()
    name = "--config.data.name=fashion_mnist"
    there = (name, f"--config.data.data_dir={bench.prepared()}")
    missing = (name, f"--config.data.data_dir={nowhere}", f"--config.data.idx_dir={nowhere}")
    first, second = start(workdir, there, missing)
    first.must_end(2, "process 1: ", str(nowhere))
    second.must_end(2, "the primary process of this run stopped")
    assert not (workdir / "config.json").exists(), "something was written"
    return "no data in one: both exit 2"


def continued_by_one(workdir: Path, expected: Outcome) -> str:
    """One process with as many devices: the same images; sums of two are the same either way."""
    finish(workdir, f"--config.num_steps={3 * EVAL_EVERY}")  # evaluated there anyway
    Process(workdir, environment={"JAX_NUM_CPU_DEVICES": str(PROCESSES)}).must_succeed()
    check_equal(workdir, expected)
    return "continued by one process with two devices: same end"


def processes(bench: Bench) -> Seen:
    """Fault 16."""
    whole = bench.workdir()
    finish(whole)
    expected = outcome(whole)

    def resumed(harm: Callable[[Path, int], str], index: int) -> str:
        workdir = bench.workdir()
        text = harm(workdir, index)
        finish(workdir)
        check_equal(workdir, expected)
        return text

    cases: dict[str, Case] = {}
    for index in range(PROCESSES):
        cases[f"SIGTERM to process {index}"] = lambda index=index: resumed(told_to_stop, index)
        cases[f"SIGKILL to process {index}"] = lambda index=index: resumed(killed, index)
        cases[f"SIGSTOP to process {index}"] = lambda index=index: resumed(halted, index)
        cases[f"process {index} alone"] = lambda index=index: alone(
            bench.workdir(), index, (signal.SIGTERM, signal.SIGINT)[index]
        )
    cases["workdir in use"] = lambda: refused(bench.workdir())
    cases["other settings"] = lambda: of_other_settings(bench.workdir())
    cases["other data"] = lambda: of_other_data(bench)
    cases["no data in one"] = lambda: without_data(bench)
    cases["other counts"] = lambda: disagreeing(bench.workdir())
    cases["continued by one"] = lambda: continued_by_one(bench.workdir(), expected)
    return bench.each(
        bench.selected(cases, "SIGTERM to process 1", "SIGKILL to process 0", "process 1 alone")
    )
