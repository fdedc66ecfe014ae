"""Fault 12: what somebody may have put into a workdir. None of it runs, nothing outside changes."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

from rnnjax.runs import manifest
from tests.faults.bench import SAVED, Bench, Case, Seen
from tests.faults.outcome import check_equal, check_same_contents, contents
from tests.faults.process import Process

Plant = Callable[[Path, Path], None]  # into a workdir, towards a folder outside


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.file}'",)


def pickled(outside: Path) -> bytes:
    return pickle.dumps(Payload(outside / "executed"))


def newest(workdir: Path) -> Path:
    return workdir / "checkpoints" / str(SAVED)


def beside(workdir: Path, outside: Path) -> None:
    (newest(workdir) / "state" / "arrays.pkl").write_bytes(pickled(outside))


def in_place_of(name: str) -> Plant:
    """A pickle for a file of the newest step, whose seal fits it."""

    def plant(workdir: Path, outside: Path) -> None:
        (newest(workdir) / name).write_bytes(pickled(outside))
        (newest(workdir) / manifest.NAME).unlink()
        manifest.seal(newest(workdir))

    return plant


def path_in_manifest(workdir: Path, outside: Path) -> None:
    file = newest(workdir) / manifest.NAME
    *lines, _ = file.read_text().splitlines()
    name = os.path.relpath(outside / "untouched", newest(workdir))
    digest = hashlib.sha256((outside / "untouched").read_bytes()).hexdigest()
    body = "".join(f"{line}\n" for line in [*lines, f"{digest}  {name}"])
    file.write_text(f"{body}{hashlib.sha256(body.encode()).hexdigest()}  -\n")


def link_as_step(workdir: Path, outside: Path) -> None:
    shutil.move(newest(workdir), outside / "step")
    newest(workdir).symlink_to(outside / "step")


def link_in_step(workdir: Path, outside: Path) -> None:
    shutil.move(newest(workdir) / "state" / "d", outside / "d")
    (newest(workdir) / "state" / "d").symlink_to(outside / "d")


def link(name: str, target: str) -> Plant:
    """A link to outside, in place of what may be there."""

    def plant(workdir: Path, outside: Path) -> None:
        if (workdir / name).exists():
            shutil.move(workdir / name, outside / Path(name).name)
        else:
            shutil.copytree(outside / "folder", outside / Path(name).name)
        (workdir / name).symlink_to(outside / (target or Path(name).name))

    return plant


def code(workdir: Path, outside: Path) -> None:
    text = f"open({str(outside / 'executed')!r}, 'w').close()\n"
    for name in ("config.py", "sitecustomize.py", "usercustomize.py", "jax.py", "conftest.py"):
        (workdir / name).write_text(text)
    (workdir / "rnnjax").mkdir()
    (workdir / "rnnjax" / "__init__.py").write_text(text)


def file_as_draft(workdir: Path, outside: Path) -> None:
    (workdir / "checkpoints" / "notes.tmp").write_bytes(pickled(outside))


# A damaged step, which is moved aside with a line on stderr.
ASIDE: dict[str, Plant] = {
    "a pickle beside the arrays": beside,
    **{
        f"a pickle as {name}, sealed": in_place_of(name) for name in ("run.json", "state/_METADATA")
    },
    "a pickle as state/manifest.ocdbt, sealed": in_place_of("state/manifest.ocdbt"),
    "../ in the manifest": path_in_manifest,
    "a link as step": link_as_step,
    "a link in a step": link_in_step,
}
# Taken away or left alone without a word.
IGNORED: dict[str, Plant] = {
    # Times that Orbax noted: it logs what it cannot read of them, and goes on.
    "a pickle as state/_CHECKPOINT_METADATA, sealed": in_place_of("state/_CHECKPOINT_METADATA"),
    "code in the workdir": code,
    "a file as draft": file_as_draft,
    "a link as draft of a step": link("checkpoints/48.tmp", ""),
    "a link as draft of settings": link("config.tmp", "untouched"),
    "a link as draft of the result": link("result.tmp", "untouched"),
    "a link as draft of events": link("train/merged.tmp", "untouched"),
}
REFUSED: dict[str, Plant] = {
    f"{name} is a link": link(name, "")
    for name in ("checkpoints", "train", "test", "validation", "lock", "config.json", "result.json")
}


def planted(bench: Bench) -> Seen:
    """Fault 12."""
    expected = bench.expected()

    def case(plant: Plant, kind: str) -> str:
        workdir = bench.unfinished()
        outside = workdir.parent / "outside"
        (outside / "folder").mkdir(parents=True)
        for file in (outside / "untouched", outside / "folder" / "untouched"):
            file.write_text("somebody's own\n")
        plant(workdir, outside)
        before = contents(outside)
        run = Process(workdir)
        if kind == "refused":
            run.must_end(2, "is a link")
        else:
            run.must_succeed()
            if kind == "aside":
                (line,) = run.errors or [""]
                assert f"moved to {SAVED}.damaged" in line, f"on stderr: {line}"
            else:
                assert run.errors == [], run.errors
            check_equal(workdir, expected)
        assert not (outside / "executed").exists(), "it was executed"
        check_same_contents(outside, before)
        return {
            "refused": "links: refused in one line",
            "aside": "in a step: moved aside, same end",
            "ignored": "elsewhere: neither run nor followed, same end",
        }[kind]

    cases: dict[str, Case] = {}
    for kind, plants in (("aside", ASIDE), ("ignored", IGNORED), ("refused", REFUSED)):
        for name, plant in plants.items():
            cases[name] = lambda plant=plant, kind=kind: case(plant, kind)
    return bench.each(
        bench.selected(
            cases,
            "a pickle as state/_METADATA, sealed",
            "../ in the manifest",
            "a link as draft of settings",
            "checkpoints is a link",
        )
    )
