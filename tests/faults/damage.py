"""Checkpoints that are no longer as they were written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rnnjax.runs import manifest, sealed
from rnnjax.runs.steps import steps_in
from tests.faults.bench import SAVED, Bench, Case, Seen
from tests.faults.outcome import check_equal, check_same_contents, contents
from tests.faults.process import ENVIRONMENT, ROOT, Process


def delete(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """Flips one bit."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


HARMS = {"deleted": delete, "emptied": empty, "cut in half": cut, "one bit flipped": flip}


def damaged_file(bench: Bench, name: str, harm: Callable[[Path], None]) -> str:
    """Harms a file of the newest step: it is moved aside, the one before it is used."""
    expected, workdir = bench.expected(), bench.unfinished()
    newest = workdir / "checkpoints" / str(SAVED)
    harm(newest / name)
    before, earlier = contents(newest), steps_in(newest.parent)[-2]
    run = Process(workdir)
    run.must_succeed()
    (line,) = run.errors or [""]
    for words in (Path(name).name, str(newest), f"{SAVED}.damaged"):
        assert words in line, f"{words!r} is not in: {line}"
    check_same_contents(newest.with_name(f"{SAVED}.damaged"), before)
    assert any(f"step {earlier + 1} was done" in line for line in run.lines), run.lines[:1]
    assert manifest.damage(newest) is None, f"{SAVED} was not saved again"
    check_equal(workdir, expected)
    return "named in one line, moved aside, gone on from the step before, same end"


def newest_damaged(bench: Bench) -> Seen:
    """Fault 3: each file of the newest step, with each harm."""
    bench.expected()
    newest = bench.unfinished() / "checkpoints" / str(SAVED)
    cases: dict[str, Case] = {}
    for file in sorted(path for path in newest.rglob("*") if path.is_file()):
        name = str(file.relative_to(newest))
        for how, harm in HARMS.items():
            if file.stat().st_size or how == "deleted":
                cases[f"{name} {how}"] = lambda name=name, harm=harm: damaged_file(
                    bench, name, harm
                )
    return bench.each(
        bench.selected(
            cases,
            "manifest.sha256 emptied",
            "run.json cut in half",
            "state/_METADATA deleted",
            "state/manifest.ocdbt one bit flipped",
        )
    )


def forge_accuracy(file: Path) -> None:
    """Makes a checkpoint the best of all."""
    metadata = json.loads(file.read_text())
    metadata["progress"]["validation_accuracy"] = 8.408
    file.write_text(json.dumps(metadata))


def figures_forged(bench: Bench) -> Seen:
    """Fault 18: figures that steer a run, changed; a checkpoint of another run."""
    expected = bench.expected()

    def aside(workdir: Path, words: str) -> None:
        """The run says so in one line, and ends as it would have."""
        run = Process(workdir)
        run.must_succeed()
        (line,) = run.errors or [""]
        assert words in line, line
        check_equal(workdir, expected)

    def best(reseal: bool) -> str:
        """The accuracy of an older checkpoint: it must not become the best."""
        workdir = bench.unfinished()
        oldest = workdir / "checkpoints" / str(steps_in(workdir / "checkpoints")[0])
        forge_accuracy(oldest / "run.json")
        if reseal:
            (oldest / manifest.NAME).unlink()
            manifest.seal(oldest)
        aside(workdir, f"moved to {oldest.name}.damaged")
        return "accuracy of an older step: moved aside, same end"

    def of_result(content: bytes | None) -> str:
        workdir = bench.unfinished()
        file = workdir / "result.json"
        if content is None:
            sealed.write(file, {**sealed.read(file), "steps": 10_000})
        else:
            file.write_bytes(content)
        aside(workdir, "moved to result.json.damaged")
        return "result.json: moved aside, same end"

    def of_settings(harm: Callable[[Path], None]) -> str:
        workdir = bench.unfinished()
        harm(workdir / "config.json")
        before = contents(workdir)
        Process(workdir).must_end(2, "config.json is damaged", "from a backup")
        check_same_contents(workdir, before)
        return "config.json: exit 2, nothing touched"

    def foreign() -> str:
        """A later checkpoint of another run of the same settings."""
        workdir, other = bench.unfinished(), bench.workdir()
        Process(other).must_succeed()
        (step, *_) = [s for s in steps_in(other / "checkpoints") if s > SAVED]
        shutil.copytree(other / "checkpoints" / str(step), workdir / "checkpoints" / str(step))
        command = [sys.executable, "-m", "rnnjax.evaluate", f"--workdir={workdir}"]
        done = subprocess.run(
            command,
            env={**os.environ, **ENVIRONMENT},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stdout
        assert f"{step} is a checkpoint of another run" in done.stderr, done.stderr
        aside(workdir, f"{step} is of another run; moved to {step}.damaged")
        return "a step of another run: named, moved aside, same end"

    def empty_step() -> str:
        """It must not pass for more steps than are asked for."""
        workdir = bench.unfinished()
        (workdir / "checkpoints" / "99999").mkdir()
        aside(workdir, "moved to 99999.damaged")
        return "an empty step: moved aside, same end"

    def another_result() -> str:
        workdir = bench.unfinished()
        file = workdir / "result.json"
        sealed.write(file, {**sealed.read(file), "run": "another"})
        settings = f"--config.num_steps={SAVED}"  # else it would go on anyhow
        run = Process(workdir, settings)
        run.must_succeed()
        assert "result.json is of another run; moved to result.json.damaged" in run.errors[0]
        aside_again = Process(workdir, settings)
        aside_again.must_succeed()
        assert "has finished already" in aside_again.lines[0]
        return "result.json of another run: moved aside, made again"

    def checkpoints_removed() -> str:
        workdir = bench.unfinished()
        shutil.rmtree(workdir / "checkpoints")
        before = contents(workdir)
        Process(workdir, "--config.seed=9").must_end(2, "holds another run: config.seed was 0")
        check_same_contents(workdir, before)
        return "result.json alone: no other run, nothing touched"

    cases: dict[str, Case] = {
        "accuracy": lambda: best(reseal=False),
        "accuracy, sealed again": lambda: best(reseal=True),
        "more steps than there are": lambda: of_result(None),
        "a step of another run": foreign,
        "an empty step": empty_step,
        "the result of another run": another_result,
        "another run after its checkpoints": checkpoints_removed,
    }
    figures = {"steps": b'{"steps": ' + b"9" * 401 + b"}", "list": b"[1]", "cut": b'{"steps"'}
    for name, content in figures.items():
        cases[f"result.json: {name}"] = lambda content=content: of_result(content)
    for name, harm in HARMS.items():
        if name != "deleted":
            cases[f"config.json {name}"] = lambda harm=harm: of_settings(harm)
    return bench.each(
        bench.selected(
            cases,
            "accuracy",
            "more steps than there are",
            "a step of another run",
            "an empty step",
            "the result of another run",
        )
    )


def all_damaged(bench: Bench) -> Seen:
    """Fault 4: no step is intact: the run ends, again and again, and trains nothing."""

    def case(harms: list[Callable[[Path], None]]) -> str:
        workdir = bench.unfinished()
        checkpoints = workdir / "checkpoints"
        steps = steps_in(checkpoints)
        for number, step in enumerate(steps):
            harms[number % len(harms)](checkpoints / str(step) / "run.json")
        run = Process(workdir)
        run.must_end(1, "is intact", "from a backup", lines=len(steps) + 1)
        remaining = {name: content for name, content in contents(workdir).items() if name != "lock"}
        again = Process(workdir)
        again.must_end(1, "is intact", "from a backup")
        for process in (run, again):
            assert process.lines == [], f"trained: {process.lines}"
        left = {name: content for name, content in contents(workdir).items() if name != "lock"}
        assert left == remaining, "the second try changed something"
        assert steps_in(checkpoints) == []
        return f"exit 1 twice, {len(steps)} steps moved aside, nothing trained"

    cases: dict[str, Case] = {
        "all harms": lambda: case([delete, empty, cut, flip]),
        "all emptied": lambda: case([empty]),
    }
    return bench.each(bench.selected(cases, "all harms"))
