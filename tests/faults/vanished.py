"""What a run stands on is gone while it runs: its workdir, its lock, its terminal."""

import shutil
from collections.abc import Sequence

from tests.faults.bench import Bench, Case, Seen
from tests.faults.outcome import check_equal
from tests.faults.process import Process

LONG = "--config.num_steps=4000"


def vanished(bench: Bench) -> Seen:
    """Fault 20: one line, and what is left goes on to the same end."""
    expected = bench.expected()

    def workdir_removed() -> str:
        workdir = bench.workdir()
        run = Process(workdir, LONG)
        assert run.until_step(20), run.errors
        shutil.rmtree(workdir, ignore_errors=True)  # a save under way may refill it
        # A save that meets the removal halfway fails on its own, or finds damage first.
        last = run.must_end(1, lines=2)
        assert " was removed " in last or "a checkpoint could not be written" in last, last
        return "workdir removed: exit 1 in a line"

    def lock_removed() -> str:
        workdir = bench.workdir()
        run = Process(workdir)
        assert run.until_step(4), run.errors
        (workdir / "lock").unlink()
        run.must_end(1, "lock was removed during the run, so that it stops here")
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return "lock removed: exit 1 at the next save, then the same end"

    def terminal_gone(wrapper: Sequence[str], reason: str) -> str:
        workdir = bench.workdir()
        run = Process(workdir, wrapper=wrapper)
        run.must_end(1, f"standard output cannot be written: {reason}")
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return f"{reason}: exit 1, then the same end"

    pipe = ("bash", "-c", 'set -o pipefail; "$@" | head -1', "bash")
    full = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
    cases: dict[str, Case] = {
        "workdir": workdir_removed,
        "lock": lock_removed,
        "pipe": lambda: terminal_gone(pipe, "Broken pipe"),
        "full": lambda: terminal_gone(full, "No space left on device"),
    }
    return bench.each(bench.selected(cases, "lock", "pipe"))
