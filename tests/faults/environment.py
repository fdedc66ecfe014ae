"""What is around a run: a compilation cache gone bad, a clock set back."""

import glob
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.bench import Bench, Case, Seen, UnavailableError
from tests.faults.damage import cut, empty, flip
from tests.faults.outcome import check_equal
from tests.faults.process import Process

DAY = 24 * 60 * 60


def compilation_cache(bench: Bench) -> Seen:
    """Fault 13: JAX's persistent cache, of another run, cut, emptied, altered, garbage."""
    expected = bench.expected()

    def cached(folder: Path) -> dict[str, str]:
        return {
            "JAX_COMPILATION_CACHE_DIR": str(folder),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def entries(folder: Path) -> list[Path]:
        return [path for path in sorted(folder.rglob("*-cache")) if path.is_file()]

    def fill(*settings: str) -> Path:
        folder = bench.workdir()
        workdir = bench.workdir()
        Process(workdir, *settings, environment=cached(folder)).must_succeed()
        assert entries(folder), "nothing was cached"
        return folder

    def run(folder: Path, name: str) -> str:
        workdir = bench.workdir()
        Process(workdir, environment=cached(folder)).must_succeed()
        check_equal(workdir, expected)
        return f"{name}: same end"

    def garbage(file: Path) -> None:
        file.write_bytes(b"no executable" * 100)

    def harmed(name: str, harm: Callable[[Path], None]) -> str:
        folder = Path(shutil.copytree(original, bench.workdir()))
        for file in entries(folder):
            harm(file)
        return run(folder, name)

    original = fill()
    harms = {"cut in half": cut, "emptied": empty, "garbage": garbage, "one bit flipped": flip}
    cases: dict[str, Case] = {
        name: lambda name=name, harm=harm: harmed(name, harm) for name, harm in harms.items()
    }
    cases["intact"] = lambda: run(original, "intact")
    cases["of another model"] = lambda: run(
        fill("--config.model.hidden_size=16", "--config.num_steps=4"), "of another model"
    )
    return bench.each(bench.selected(cases, "cut in half", "garbage"))


def clock(bench: Bench) -> Seen:
    """Fault 15: the run goes on at a time a day before that of its first part."""
    expected = bench.expected()

    def finish(workdir: Path, before: float) -> None:
        (old,) = (workdir / "train").glob("events*")
        assert int(old.name.split(".")[3]) > before + DAY / 2, f"{old.name} is not of tomorrow"
        Process(workdir).must_succeed()
        check_equal(workdir, expected)

    def start(environment: dict[str, str]) -> Path:
        workdir = bench.workdir()
        run = Process(workdir, environment=environment)
        assert run.until_step(24), run.errors
        run.kill()
        return workdir

    def fake() -> str:
        """With a library that tells the process another time."""
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not libraries:
            raise UnavailableError("apt-get install faketime")
        before = time.time()
        environment = {"LD_PRELOAD": libraries[0], "FAKETIME": "+1d"}
        finish(start({**environment, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}), before)
        return "clock of the first part a day ahead (faketime): same end, tags in order"

    def renamed() -> str:
        """With files that bear the time they would then have."""
        before, workdir = time.time(), start({})
        for file in list(workdir.rglob("*")):
            os.utime(file, (before + DAY, before + DAY))
            if file.name.startswith("events."):
                *head, at, rest = file.name.split(".", 4)
                file.rename(file.with_name(".".join([*head, str(int(at) + DAY), rest])))
        finish(workdir, before)
        return "files of the first part a day ahead: same end, tags in order"

    return bench.each(bench.selected({"faketime": fake, "files": renamed}, "files"))
