"""A workdir that is full, cannot be written, or is in use."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from rnnjax.runs import manifest
from rnnjax.runs.steps import steps_in
from tests.faults.bench import Bench, Case, Seen, UnavailableError
from tests.faults.outcome import check_equal, check_same_contents, contents
from tests.faults.process import Process
from tests.faults.quick import LOG_EVERY, SAVE_EVERY


def command(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["it failed"]
        raise UnavailableError(f"{arguments[0]} needs root and its file system ({reason[-1]})")


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir(parents=True)
    command("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place))
    try:
        yield
    finally:
        command("umount", "--lazy", str(place))


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Lets nothing be made in a folder; permissions do not bind root, an attribute does."""
    if os.geteuid() == 0:
        command("chattr", "+i", str(folder))
    else:
        folder.chmod(0o555)
    try:
        yield
    finally:
        command("chattr", "-i", str(folder)) if os.geteuid() == 0 else folder.chmod(0o755)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    """Fills a disk to its last block, and what is set free on it meanwhile too."""
    full, done = threading.Event(), threading.Event()

    def fill() -> None:
        with (place / "filler").open("wb", buffering=0) as filler:
            while not done.wait(0.001 if full.is_set() else 0):
                try:
                    filler.write(bytes(4096))
                except OSError:
                    full.set()

    thread = threading.Thread(target=fill)
    thread.start()
    full.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
        (place / "filler").unlink()


def check_stopped_early(run: Process) -> int:
    """The end must have come within a save interval of the failing save; older ones are intact."""
    checkpoints = run.workdir / "checkpoints"
    steps = steps_in(checkpoints)
    damages = [manifest.damage(checkpoints / str(step)) for step in steps]
    assert steps, "no step is left"
    assert not any(damages), damages
    # The save after the newest failed; figures come every few steps.
    limit = steps[-1] + 2 * SAVE_EVERY + LOG_EVERY
    assert run.last_step < limit, f"trained to {run.last_step}, saved {steps[-1]}"
    return steps[-1]


def full_disk(bench: Bench) -> Seen:
    """Fault 5: filled before the start, and behind the first saves."""
    expected = bench.expected()

    def at_the_start() -> str:
        place = bench.workdir()
        with small_disk(place):
            run_folder = place / "run"
            with filled(place):
                run = Process(run_folder)
                run.must_end(1, "No space left", str(run_folder), lines=2)
                assert run.lines == [], f"trained: {run.lines}"
            Process(run_folder).must_succeed()
            check_equal(run_folder, expected)
        return "at the start: exit 1 before training, then as if it had not been"

    def behind(step: int) -> str:
        place = bench.workdir()
        with small_disk(place):
            run = Process(place / "run")
            saved = place / "run" / "checkpoints" / str(step)
            assert run.until(saved.exists), run.errors
            with filled(place):
                run.must_end(1, "the same command", lines=2)
                check_stopped_early(run)
            Process(place / "run").must_succeed()
            check_equal(place / "run", expected)
        return "while training: exit 1 within a save interval, older steps intact, then same end"

    cases: dict[str, Case] = {f"behind {s}": lambda s=s: behind(s) for s in (5, 8, 10, 15, 20)}
    cases["at the start"] = at_the_start
    return bench.each(bench.selected(cases, "behind 5", "at the start"))


def read_only(bench: Bench) -> Seen:
    """Fault 6: before the first start, before a restart, and while training."""
    expected = bench.expected()

    def new() -> str:
        workdir = bench.workdir()
        with unwritable(workdir.parent):
            run = Process(workdir)
            run.must_end(2, f"--workdir={workdir}", "cannot be written")
            assert run.lines == [], f"trained: {run.lines}"
        return "new workdir: exit 2 before training"

    def unfinished() -> str:
        workdir = bench.unfinished()
        before = contents(workdir)
        with unwritable(workdir):
            Process(workdir).must_end(2, f"--workdir={workdir}", "cannot be written")
        check_same_contents(workdir, before)
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return "unfinished run: exit 2, then same end"

    def mount() -> str:
        place = bench.workdir()
        with small_disk(place):
            command("mount", "-o", "remount,ro", str(place))
            Process(place / "run").must_end(2, "cannot be written", "Read-only file system")
        return "read-only mount: exit 2 before training"

    def below(name: str) -> str:
        workdir = bench.unfinished()
        with unwritable(workdir / name):
            Process(workdir).must_end(1, str(workdir / name), lines=2)
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return f"unwritable {name}/: exit 1, then same end"

    def while_training() -> str:
        workdir = bench.workdir()
        run = Process(workdir)
        assert run.until((workdir / "checkpoints" / "5").exists), run.errors
        with unwritable(workdir / "checkpoints"):
            run.must_end(1, str(workdir / "checkpoints"), "the same command", lines=2)
            check_stopped_early(run)
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return "while training: exit 1 within a save interval, older steps intact, then same end"

    cases: dict[str, Case] = {
        "new": new,
        "unfinished": unfinished,
        "mount": mount,
        "checkpoints": lambda: below("checkpoints"),
        "train": lambda: below("train"),
        "while training": while_training,
    }
    return bench.each(bench.selected(cases, "unfinished", "while training"))


def in_use(bench: Bench) -> Seen:
    """Fault 7: the holder is halted, so that it is one as long as this takes."""
    expected = bench.expected()

    def case(number: signal.Signals) -> str:
        workdir = bench.workdir()
        holder = Process(workdir)
        assert holder.until((workdir / "checkpoints" / "5").exists), holder.errors
        holder.send(signal.SIGSTOP)
        second = Process(workdir)
        second.must_end(1, f"process {holder.pid}", socket.gethostname(), "in use")
        assert second.lines == [], f"trained: {second.lines}"
        holder.send(number)
        code = holder.wait()
        if number == signal.SIGKILL:
            assert code == -number
            Process(workdir).must_succeed()
        else:
            assert code == 0, holder.errors
        check_equal(workdir, expected)
        return f"refused with process and host; holder's {number.name}, then same end"

    cases: dict[str, Case] = {s.name: lambda s=s: case(s) for s in (signal.SIGKILL, signal.SIGCONT)}
    return bench.each(bench.selected(cases, "SIGKILL"))
