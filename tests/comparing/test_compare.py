"""The command `compare`: a whole comparison, one that goes on, one that is killed, bad input."""

import json
import random
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests import leaky_cell
from tests.comparing.commands import compare, files, results, rows, start, states

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def cell_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a cell of a user's own."""
    return Path(shutil.copy(leaky_cell.__file__, tmp_path_factory.mktemp("own") / "leaky.py"))


@pytest.fixture(scope="module")
def vary(cell_file: Path) -> str:
    return f"--vary=model.cell=rnn,{cell_file}:LeakyCell"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, vary: str) -> Path:
    """The folder of a comparison of two cells over two seeds; only to read."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = compare(out, vary, "--seeds=2")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert re.search(
        r"^rnn: seeds 0-1  validation accuracy 0\.\d+ ± 0\.\d+  \d+ s$", done.stdout, re.M
    )
    assert re.search(r"^\| `leaky\.py:LeakyCell` \|.* too few seeds \|$", done.stdout, re.M)
    return out


def test_there_is_a_row_for_each_run(whole: Path) -> None:
    stored = rows(whole)
    assert [(row["variant"], row["seed"]) for row in stored] == [
        (name, seed) for name in ("rnn", "leaky.py:LeakyCell") for seed in "01"
    ]
    for row in stored:
        assert 0 < float(row["validation_accuracy"]) < 1
        assert float(row["ms_per_step"]) > 0
        assert float(row["peak_memory"]) > 2**20
        assert row["config.data.validation_size"] == "5000"
        assert row["config.seed"] == row["seed"]
        assert (len(row["config.model.cell_sha256"]) == 64) == (row["variant"] != "rnn")
    assert len({row["test_accuracy"] for row in stored}) == 4
    json_rows = json.loads((whole / "results.json").read_text())["runs"]
    assert [str(row["test_accuracy"]) for row in json_rows] == [r["test_accuracy"] for r in stored]


def test_which_images_are_told_right_agrees_with_the_accuracy(whole: Path) -> None:
    from rnnjax import stored_config
    from rnnjax.comparing import outcome

    for path in whole.glob("runs/*/*.json"):
        settings = json.loads(path.read_text())["settings"]
        found = outcome.read(stored_config.from_dict(settings), path)
        assert found is not None
        for figures, right, curve in found.seeds.values():
            assert right.mean() == pytest.approx(figures.test_accuracy, abs=1e-7)
            assert curve.steps.tolist() == [6, 12]
            assert curve.values[-1] == pytest.approx(figures.validation_accuracy, abs=1e-6)


def test_the_page_tells_of_the_variants(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert "leaky.py:LeakyCell" in page
    assert "rnn, seed 0" in page  # which it looks into
    assert (whole / "curves.png").stat().st_size > 1_000
    assert list((whole / "curves").rglob("*.tfevents.*"))
    assert "validation" in (whole / "table.md").read_text()


def test_more_seeds_and_values_are_added_to_what_there_is(
    whole: Path, tmp_path: Path, vary: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/seeds_0-1*")}
    again = compare(out, vary, "--seeds=2")
    assert again.returncode == 0, again.stderr
    assert "0 of 48 steps are left" in again.stdout
    assert "validation accuracy 0" not in again.stdout  # of no run
    assert results(out) == results(whole)
    more = compare(out, f"{vary},indrnn", "--seeds=3", "--sort=parameters")
    assert more.returncode == 0, more.stderr
    ran = re.findall(r"^(.+: seeds? \S+)  validation accuracy", more.stdout, re.MULTILINE)
    assert ran == ["rnn: seed 2", "leaky.py:LeakyCell: seed 2", "indrnn: seeds 0-2"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    stored = rows(out)
    assert len(stored) == 9
    assert [row for row in stored if row["seed"] != "2" and row["variant"] != "indrnn"] == rows(
        whole
    )
    table = (out / "table.md").read_text()
    assert [re.split(r"[`|]+", line)[1].strip(" `") for line in table.splitlines()[2:5]]


def test_stopped_and_killed_at_any_moment_it_comes_to_the_same(
    whole: Path, tmp_path: Path, vary: str
) -> None:
    out, moments = tmp_path / "out", random.Random(0)
    process = start(out, vary, "--seeds=2")
    log = out / "runs" / "rnn" / "seeds_0-1.log"
    while not (log.exists() and "step" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert errors.decode() == (
        "rnnjax: SIGTERM: the runs under way have saved; the same command goes on\n"
    )
    for _ in range(3):
        process = start(out, vary, "--seeds=2")
        time.sleep(moments.uniform(4, 12))
        process.kill()
        process.communicate()
    done = compare(out, vary, "--seeds=2")
    assert done.returncode == 0, done.stderr
    assert files(out) == files(whole)
    assert results(out) == results(whole)
    alone, killed = states(whole), states(out)
    assert alone.keys() == killed.keys()
    assert all(np.array_equal(alone[path], killed[path]) for path in alone)


def test_what_fails_stops_no_other_and_values_are_searched_by_validation(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = compare(
        out,
        "--vary=optimizer.epsilon=1e-8,1e-9",
        "--vary=optimizer.learning_rate=best:1e30,1e-5,3e-3",
        "--config.model.cell=rnn",
        "--seeds=2",
        "--seeds_at_once=1",
        "--jobs=2",
    )
    assert done.returncode == 0, done.stderr
    trials = rows(out, "trials.csv")
    assert len(trials) == 6
    assert {row["seed"] for row in trials} == {str(2**30)}  # which is none of those compared
    assert {row["test_accuracy"] for row in trials} == {""}
    for row in trials:
        has_failed = row["config.optimizer.learning_rate"] == "1e+30"
        assert ("became" in row["failure"]) == has_failed, row
    best = max(trials[:3], key=lambda row: float(row["validation_accuracy"] or 0))
    compared = rows(out)
    assert [row["seed"] for row in compared] == ["0", "1"] * 2
    assert compared[0]["config.optimizer.learning_rate"] == best["config.optimizer.learning_rate"]
    assert (
        f"epsilon=1e-08, learning_rate={float(compared[0]['config.optimizer.learning_rate']):g}"
        in done.stdout
    )
    again = compare(
        tmp_path / "failing",
        "--vary=optimizer.learning_rate=1e30",
        "--config.model.cell=rnn",
        "--seeds=1",
    )
    assert again.returncode == 1
    assert "no run has ended: " in again.stderr
    assert "became" in rows(tmp_path / "failing")[0]["failure"]
