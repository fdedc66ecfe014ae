"""A process that may have too little: memory, threads, open files, bytes in a file."""

import os
import shutil

from tests.faults.bench import SAVED, Bench, Case, Seen, UnavailableError
from tests.faults.outcome import check_equal
from tests.faults.process import Process

# Root has no limit of threads. Another user, who still may read Python where only root can.
NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"),
    "--bounding-set=-all,+dac_read_search",
)


def limits(bench: Bench) -> Seen:
    """Fault 21: one line, nothing is lost, and without the limit it goes on to the same end."""
    expected = bench.expected()

    def case(limit: str, *words: str) -> str:
        workdir = bench.unfinished()
        wrapper = ("bash", "-c", f'ulimit {limit}; exec "$@"', "bash")
        Process(workdir, wrapper=wrapper).must_end(1, *words)
        run = Process(workdir)
        run.must_succeed()
        assert f"going on from step {SAVED}" in run.lines
        check_equal(workdir, expected)
        return "exit 1 in a line, then the same end"

    def new(limit: str, *words: str, user: tuple[str, ...] = ()) -> str:
        workdir = bench.workdir()
        wrapper = (*user, "bash", "-c", f'ulimit {limit}; exec "$@"', "bash")
        Process(workdir, wrapper=wrapper).must_end(1, *words)
        assert not workdir.exists(), [*workdir.rglob("*")]
        return "a new run: exit 1 in a line, no workdir"

    def threads() -> str:
        if os.geteuid() == 0 and shutil.which("setpriv") is None:
            raise UnavailableError("needs setpriv")
        words = ("threads can be started, and JAX with TensorFlow takes", "ulimit -u")
        return new("-u 6", *words, user=NOBODY if os.geteuid() == 0 else ())

    again = "give the same command again"
    cases: dict[str, Case] = {
        "memory": lambda: case("-v 2000000", "limit of virtual memory is 1.9 GiB"),
        "little memory": lambda: case("-v 500000", "limit of virtual memory is 0.5 GiB"),
        "threads": threads,
        "open files": lambda: new("-n 10", "Too many open files", again),
        "open files, going on": lambda: case("-n 10", "Too many open files", again),
        "file size": lambda: case("-f 8", "File too large", again),
    }
    return bench.each(bench.selected(cases, "memory", "threads", "open files", "file size"))
