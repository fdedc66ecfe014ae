"""The command that evaluates: what it prints and writes is what the training has found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rnnjax.runs.result import Result

pytestmark = pytest.mark.process


def evaluate(root: Path, workdir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rnnjax.evaluate", f"--workdir={workdir}", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_figures_by_class(
    root: Path, tmp_path: Path, finished_run: Path, finished_result: Result
) -> None:
    result = finished_result
    files = (tmp_path / "figures.json", tmp_path / "confusion.png")
    done = evaluate(root, finished_run, f"--json={files[0]}", f"--confusion={files[1]}")
    assert done.returncode == 0, done.stderr
    first, heading, *classes, last = done.stdout.splitlines()
    assert f"step     12  test accuracy {result.test_accuracy:.4f}" in first
    assert heading.split() == ["precision", "recall", "images"]
    figures = json.loads(files[0].read_text())
    assert figures["accuracy"] == result.test_accuracy
    assert figures["loss"] == result.test_loss
    assert len(classes) == len(figures["classes"]) == 10
    table = np.array(figures["confusion"])
    assert table.sum() == 2_000
    assert table.trace() / 2_000 == pytest.approx(result.test_accuracy, abs=1e-6)
    for k, (name, of_class) in enumerate(figures["classes"].items()):
        assert of_class["recall"] == table[k, k] / 200
        assert any(line.startswith(name) for line in classes)
    calibration = f"calibration error {figures['calibration_error']:.4f}"
    meaning = "(mean gap between probability and share of right guesses; 0 is best)"
    assert last == f"{calibration} {meaning}"
    with Image.open(files[1]) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("flag", ["--json", "--confusion"])
def test_what_cannot_be_written_is_said_at_once(root: Path, tmp_path: Path, flag: str) -> None:
    for file, words in (("missing/file", "No such file"), ("", "it is a folder")):
        done = evaluate(root, root / "none", f"{flag}={tmp_path / file}")
        assert done.returncode == 2
        assert f"{flag}={tmp_path / file} cannot be written: {words}" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_files_of_the_run_are_no_outputs(root: Path, finished_run: Path) -> None:
    workdir = finished_run
    content = (workdir / "config.json").read_bytes()
    for arguments, words in (
        (("--confusion", workdir / "config.json"), "where only the run itself writes"),
        (
            ("--json", workdir.parent / "x", "--confusion", workdir.parent / "x"),
            "is the file of --json too",
        ),
    ):
        done = evaluate(root, workdir, *map(str, arguments))
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (workdir / "config.json").read_bytes() == content
