"""Fault 17: links, FIFOs, devices and the like at every path that a run opens or leaves."""

import os
import re
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from rnnjax.reporting.resumed_events import MERGED
from rnnjax.seeds import FOLDER
from tests.faults.bench import SAVED, Bench, Case, Seen, UnavailableError
from tests.faults.outcome import check_equal, check_same_contents, contents
from tests.faults.process import Process

SECONDS = 120  # a run that waits for a FIFO waits for ever
SEEDS = "--config.seeds=2"


def make_socket(path: Path) -> None:
    short = Path(os.path.relpath(path))  # a name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(min(path, short, key=lambda p: len(str(p)))))
        except OSError as error:
            raise UnavailableError(f"the path is too long for a socket ({error})") from error


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zeros without an end
    except PermissionError as error:
        raise UnavailableError("only root makes devices") from error


def make_link(path: Path, outside: Path) -> None:
    """To something of the same kind outside, with the same contents if there are any."""
    target = outside / "target"
    if path.exists():
        shutil.move(path, target)
    else:
        target.write_text("somebody's own\n")
    path.symlink_to(target)


def make_hard_link(path: Path, outside: Path) -> None:
    if path.is_dir():
        raise UnavailableError("a folder has one name")
    if path.exists():
        shutil.move(path, outside / "target")
    else:
        (outside / "target").write_text("somebody's own\n")
    path.hardlink_to(outside / "target")


def make_other_kind(path: Path, outside: Path) -> None:
    """A file for a folder, a folder for a file."""
    del outside
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("somebody's own\n")
    else:
        path.unlink(missing_ok=True)
        path.mkdir()


def in_place(make: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    def plant(path: Path, outside: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        make(path)

    return plant


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "a link": make_link,
    "a hard link": make_hard_link,
    "a FIFO": in_place(os.mkfifo),
    "a socket": in_place(make_socket),
    "a device": in_place(make_device),
    "the other kind": make_other_kind,
}


def opened_paths(bench: Bench, *settings: str) -> list[str]:
    """Returns what a run opens in its workdir, and what it finds there when it starts."""
    workdir = bench.unfinished(*settings)
    there = {str(path.relative_to(workdir)) for path in workdir.rglob("*")}
    record = workdir.with_name("opened")
    Process(workdir, *settings, environment={"RECORD_OPENED": str(record)}).must_succeed()
    opened = {
        os.path.relpath(path, workdir)
        for path in map(os.path.abspath, record.read_text().splitlines())
        if path.startswith(f"{workdir}{os.sep}")
    }
    # A run gives new event files names of the time and the process, which nobody knows before.
    new_event_file = re.compile(r".*/events\.out\.tfevents\.\d+\.(?!resumed).*")
    paths = there | {path for path in opened if not new_event_file.fullmatch(path)}
    # Of each step it opens the same, under names of 32 hexadecimal digits that are new each time.
    # The newest step stands for all, the last seed for all.
    one_of_a_kind = {re.sub(r"[0-9a-f]{32}|\d+", "#", path): path for path in sorted(paths)}
    return sorted(one_of_a_kind.values())


def untrusted(bench: Bench) -> Seen:
    """Fault 17."""

    def case(name: str, kind: str) -> str:
        settings = [SEEDS] if name.startswith(FOLDER) else []
        workdir = bench.unfinished(*settings)
        outside = workdir.parent / "outside"
        outside.mkdir()
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        KINDS[kind](workdir / name, outside)
        for path in outside.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        before = contents(outside)
        run = Process(workdir, *settings)
        run.patience = SECONDS
        code = run.wait()
        check_same_contents(outside, before)
        text = " | ".join(run.errors)
        assert "Traceback" not in text, text
        assert len(run.errors) <= 2, f"{len(run.errors)} lines: {text}"
        assert code in (0, 1, 2), f"exit code {code}: {text}"
        if code == 0:
            check_equal(workdir, bench.expected(*settings))
            return "same end, nothing outside changed"
        assert len(run.errors) >= 1, "ended without a word"
        return f"exit {code} in a line or two, nothing outside changed"

    names = ["checkpoints", f"checkpoints/{SAVED}", "config.json", "lock", "train/merged.tmp"]
    names += [f"{FOLDER}1/train", f"{FOLDER}1/test/{MERGED}"]
    if not bench.short:
        of_seeds = [name for name in opened_paths(bench, SEEDS) if name.startswith(FOLDER)]
        names = [*opened_paths(bench), *of_seeds]
    cases: dict[str, Case] = {
        f"{name} is {kind}": lambda name=name, kind=kind: case(name, kind)
        for name in names
        for kind in KINDS
    }
    return bench.each(
        bench.selected(
            cases,
            "config.json is a FIFO",
            "lock is a hard link",
            f"checkpoints/{SAVED} is a device",
            "train/merged.tmp is a link",
            f"{FOLDER}1/train is a link",
            f"{FOLDER}1/test/{MERGED} is a hard link",
        )
    )
