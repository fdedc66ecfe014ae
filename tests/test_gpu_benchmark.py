"""`python -m benchmarks.gpu`, tiny and on a CPU: that it comes to its end, whatever happens."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import needs, plan, processes, worker
from benchmarks.gpu.log import Log
from benchmarks.gpu.processes import DETERMINISTIC
from benchmarks.gpu.report import HEADINGS
from tests.cases import UNOPTIMIZED
from tests.test_imports import HEAVY

COMMAND = [sys.executable, "-m", "benchmarks.gpu", "--tiny"]
LONGEST_WAIT = 60


def environment(folder: Path) -> dict[str, str]:
    """Of a process that compiles fast, and in which nothing heavy can be imported."""
    for name in HEAVY:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    flags = (f"--{name}={str(value).lower()}" for name, value in UNOPTIMIZED.items())
    added = {"PYTHONPATH": str(folder), "XLA_FLAGS": " ".join(flags), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **added}


@pytest.mark.process
def test_a_tiny_run(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, "--out", str(out)]
    subprocess.run(command, cwd=root, env=environment(tmp_path), check=True)
    report, text = json.loads((out / "gpu.json").read_text()), (out / "gpu.md").read_text()
    rows = report["rows"]
    assert report["label"] == "CPU, small; not a measurement of a GPU"
    assert text.startswith(f"# {report['label']}\n")
    assert not [row for row in rows if row["status"] not in ("measured", "not there")]
    for part, heading in HEADINGS.items():
        assert f"\n## {heading}\n" in text
        assert [row for row in rows if row["part"] == part and row["status"] == "measured"]

    def of(part: str, *names: str) -> set[Any]:
        measured = (r for r in rows if r["part"] == part and r["status"] == "measured")
        return {tuple(row[name] for name in names) for row in measured}

    names = {"scan", "deferred", "fused"}
    peers = {"flax.linen.RNN"} | ({"torch, CPU"} if importlib.util.find_spec("torch") else set())
    precisions = {(name, precision) for name in names for precision in ("highest", "default")}
    checked = precisions | {(name, "default") for name in peers}
    assert of("correctness", "contender", "precision") == checked
    assert max(of("correctness", "error")) < (5e-5,)
    assert of("speed", "contender") == {(name,) for name in names | peers}
    assert of("seeds", "seeds") == {(1,), (8,), (32,)}
    assert of("dispatch", "steps") == {(1,), (10,), (100,)}
    assert of("bf16", "dtype") == {("float32",), ("bfloat16",)}
    assert len(of("repeatability", "process")) == 3
    reasons = {(row["contender"], row["reason"]) for row in rows if row["status"] == "not there"}
    assert {("cudnn", "JAX finds no GPU"), ("scan", "rnnjax has no cell 'lru'")} <= reasons


def child_of(pid: int) -> int:
    """Returns the process that another has started, as soon as there is one."""
    children, end = Path(f"/proc/{pid}/task/{pid}/children"), time.monotonic() + LONGEST_WAIT
    while not (found := children.read_text().split()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(found[0])


@pytest.mark.process
def test_a_process_that_is_killed_and_ctrl_c(root: Path, tmp_path: Path) -> None:
    """The rest goes on, and what there is is written."""
    command = [*COMMAND, "--parts", "repeatability", "--out", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=root, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "deterministic 1: repeatability\n"
        os.kill(child_of(process.pid), signal.SIGKILL)
        assert process.stdout.readline() == "deterministic 2: repeatability\n"
        child = child_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST_WAIT) == 130
    end = time.monotonic() + LONGEST_WAIT
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [(row["process"], row["status"], row["reason"]) for row in rows] == [
        ("deterministic 1", "failed", "its process ended by SIGKILL"),
        ("deterministic 2", "left out", "it was stopped before"),
        ("default", "left out", "it was stopped before"),
    ]
    assert "its process ended by SIGKILL" in (tmp_path / "gpu.md").read_text()


@pytest.mark.process
def test_time_that_is_up(root: Path, tmp_path: Path) -> None:
    """Cases for which there is no time are said to be left out, and no process is left."""
    code = """if True:
        import time
        from pathlib import Path
        from benchmarks.gpu import log, plan, processes
        cases = plan.make_plan("tiny", None)
        written, start = log.Log(Path("log.jsonl")), time.monotonic()
        processes.run_plan(cases, dict.fromkeys((None, *plan.SECONDS), start + 0.3), written)
        assert {row["part"] for row in written.rows()} == {case.part for case in cases}
        assert {row["status"] for row in written.rows()} == {"left out"}
    """
    paths = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=paths, check=True)
    assert done.returncode == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "speed,sped"], "--parts: sped is not among correctness, speed, "),
        (["--seconds", "0"], "--seconds: 0.0 is no positive number"),
        (["--out", "/proc/gpu"], "--out: /proc/gpu cannot be written: "),
    ],
    ids=["parts", "seconds", "out"],
)
def test_what_cannot_be_measured(options: list[str], message: str, root: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *options], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_has_to_be_installed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the project has it, and as the command says that installs it."""
    assert needs.wanting() is None
    readme = (root / "benchmarks" / "README.md").read_text()
    for name, version in needs.least_versions().items():
        assert f"'{name}{'[cuda12]' * (name == 'jax')}>={version}'" in readme

    def version_of(name: str) -> str:
        if name == "jaxtyping":
            raise metadata.PackageNotFoundError(name)
        return {"jax": "0.9.99.dev1", "flax": "100.0"}[name]

    monkeypatch.setattr(metadata, "version", version_of)
    complaint = (needs.wanting() or "").replace(needs.least_versions()["jax"], "1")
    assert complaint.startswith("jax 0.9.99.dev1, which has to be 1 at least; jaxtyping is not")


def test_the_flags_are_those_of_the_readme(root: Path) -> None:
    assert f"XLA_FLAGS={DETERMINISTIC}`" in (root / "README.md").read_text()


@pytest.mark.process
def test_a_case_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is stopped, and a contender that ran alone is not tried again."""
    monkeypatch.setattr(processes, "CASE_SECONDS", 0)
    written, stage = Log(tmp_path / "log.jsonl"), ("correctness", "jax")
    arguments = {"kind": "lstm", "size": [16, 16, 4, 4], "contender": "scan"}
    case = plan.Case("correctness", "jax", arguments, stage)
    processes.run_plan([case], dict.fromkeys((None, stage), float("inf")), written)
    (row,) = written.rows()
    assert (row["status"], row["reason"]) == ("failed", "it had not ended after 0 s")
    assert worker.found_wrong(written, "bilstm") == {"scan"}
