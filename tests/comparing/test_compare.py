"""The command `compare`: a whole comparison, one that goes on, one that is killed, bad input."""

import fcntl
import json
import random
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnjax.comparing import margins
from rnnjax.reporting.resumed_events import read_events
from tests.comparing.commands import (
    CODE,
    EVENING,
    compare,
    prepare_evening,
    results,
    rows,
    start,
)
from tests.comparing.kills import EARLIEST, differences, kill
from tests.conftest import shared_folder

pytestmark = pytest.mark.process


CELLS = ("lstm", "gru", "leaky.py:LeakyCell")
SEEDS = "01234"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all workers type the commands, one of which has made the comparison `whole` there."""
    folder = shared_folder(tmp_path_factory) / "evening"
    with open(f"{folder}.lock", "w") as lock:  # held while one of the workers compares
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            prepare_evening(folder)
            done = compare(folder / "whole", *EVENING, folder=folder)
            (folder / "printed.json").write_text(
                json.dumps([done.returncode, done.stdout, done.stderr])
            )
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """The folder of the comparison of docs/comparing.md; only to read."""
    return folder / "whole"


def test_the_command_of_the_page_prints_runs_and_the_table(folder: Path) -> None:
    code, printed, errors = json.loads((folder / "printed.json").read_text())
    assert code == 0, errors
    assert not errors
    for name in CELLS:
        line = rf"^{re.escape(name)}: seeds 0-4  validation accuracy 0\.\d+ ± 0\.\d+  \d+ s$"
        assert re.search(line, printed, re.MULTILINE), printed
        assert re.search(rf"^\| `{re.escape(name)}` +\|.*\|$", printed, re.MULTILINE), printed


def test_the_file_of_the_page_is_short() -> None:
    assert len(CODE.splitlines()) <= 25


def test_there_is_a_row_for_each_run(whole: Path) -> None:
    stored = rows(whole)
    assert [(row["variant"], row["seed"]) for row in stored] == [
        (name, seed) for name in CELLS for seed in SEEDS
    ]
    for row in stored:
        assert 0 < float(row["validation_accuracy"]) < 1
        assert float(row["ms_per_step"]) > 0
        assert float(row["peak_memory"]) > 2**20
        assert row["config.data.validation_size"] == "5000"
        assert row["config.seed"] == row["seed"]
        assert (len(row["config.model.cell_sha256"]) == 64) == (row["variant"] == CELLS[2])
    assert len({row["test_loss"] for row in stored}) == 15
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
    for name in CELLS:
        assert f"{name}, seed 0" in page  # which it looks into
    assert (whole / "curves.png").stat().st_size > 1_000
    assert "validation" in (whole / "table.md").read_text()


def test_tensorboard_has_means_and_margins(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted((whole / "runs" / "means").iterdir())
    assert [folder.name for folder in folders] == sorted(map(margins.folder_name, CELLS))
    accuracies = [float(r["validation_accuracy"]) for r in rows(whole) if r["variant"] == "lstm"]
    events = EventAccumulator(str(whole / "runs" / "means" / "lstm")).Reload()
    last = {
        tag: [float(event.tensor_proto.float_val[0]) for event in events.Tensors(tag)][-1]
        for tag in (margins.MEAN, margins.LOW, margins.HIGH)
    }
    mean, sd = np.mean(accuracies), np.std(accuracies, ddof=1)
    assert last[margins.MEAN] == pytest.approx(mean, abs=1e-6)
    assert last[margins.LOW] == pytest.approx(mean - sd, abs=1e-6)
    assert last[margins.HIGH] == pytest.approx(mean + sd, abs=1e-6)


def test_hparams_groups_the_seeds_of_a_variant(whole: Path) -> None:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    protos: Any = plugin_data_pb2  # whose classes are made when it is imported
    groups: dict[str, list[str]] = {}
    for file in sorted(whole.glob("runs/*/*/seed_*/train/*.tfevents.*")):
        for event in read_events(file):
            assert event is not None
            for value in event.summary.value:
                if value.tag == metadata.SESSION_START_INFO_TAG:
                    content = value.metadata.plugin_data.content
                    start = protos.HParamsPluginData.FromString(content)
                    group = start.session_start_info.group_name
                    groups.setdefault(group, []).append(file.parents[1].name)
    assert {group.split()[0] for group in groups} == {"lstm", "gru", "LeakyCell"}
    assert [*groups.values()] == [[f"seed_{seed}" for seed in SEEDS]] * 3


def test_more_seeds_and_values_are_added_to_what_there_is(
    whole: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    again = compare(out, *EVENING, folder=folder)
    assert again.returncode == 0, again.stderr
    assert "0 of 180 steps are left" in again.stdout
    assert "validation accuracy 0" not in again.stdout  # of no run
    assert results(out) == results(whole)
    shutil.rmtree(out / "runs" / "lstm" / "seeds_0-4")  # to have room: its outcome is beside it
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/seeds_0-4*")}
    assert [*out.glob("run-3-*.png")]
    vary = "--vary=model.cell=lstm,indrnn"
    more = compare(out, vary, "--seeds=6", "--sort=parameters", folder=folder)
    assert more.returncode == 0, more.stderr
    ran = re.findall(r"^(.+: seeds? \S+)  validation accuracy", more.stdout, re.MULTILINE)
    assert ran == ["lstm: seed 5", "indrnn: seeds 0-5"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not [*out.glob("run-3-*.png")]  # two variants are left to look into
    assert "lstm, seed 5" in (out / "report.html").read_text()
    stored = rows(out)
    assert len(stored) == 12
    assert stored[:5] == rows(whole)[:5]
    table = (out / "table.md").read_text().splitlines()
    assert [line.split("`")[1] for line in table[2:4]] == ["indrnn", "lstm"]


def test_stopped_and_killed_at_any_moment_it_comes_to_the_same(
    whole: Path, folder: Path, tmp_path: Path
) -> None:
    out, moments = tmp_path / "out", random.Random(0)
    process = start(out, *EVENING, folder=folder)
    log = out / "runs" / "lstm" / "seeds_0-4.log"
    while not (log.exists() and "step" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert errors == "rnnjax: SIGTERM: the runs under way have saved; the same command goes on\n"
    for _ in range(3):
        kill(out, folder, moments.uniform(EARLIEST, 4 * EARLIEST))
    done = compare(out, *EVENING, folder=folder)
    assert done.returncode == 0, done.stderr
    assert not differences(whole, out)


def test_what_fails_stops_no_other_and_values_are_searched_by_validation(tmp_path: Path) -> None:
    out, rate = tmp_path / "out", "--vary=optimizer.learning_rate"
    options = ("--vary=model.cell=rnn", "--seeds=1")
    searched = compare(out, f"{rate}=best:3e38,1e-5,3e-3", *options, "--jobs=2")
    assert searched.returncode == 0, searched.stderr
    trials = rows(out, "trials.csv")
    assert {row["seed"] for row in trials} == {str(2**30)}  # which is none of those compared
    assert {row["test_accuracy"] for row in trials} == {""}
    by_rate = {float(row["config.optimizer.learning_rate"]): row for row in trials}
    assert by_rate.keys() == {3e38, 1e-5, 3e-3}
    assert "became" in by_rate.pop(3e38)["failure"]
    best = max(by_rate, key=lambda rate: float(by_rate[rate]["validation_accuracy"]))
    (row,) = rows(out)
    assert (row["seed"], float(row["config.optimizer.learning_rate"])) == ("0", best)
    assert row["variant"] == f"rnn, learning_rate={best:g}"

    compared = compare(out, f"{rate}=3e38,{best:g}", *options)
    assert compared.returncode == 0, compared.stderr
    failed, other = rows(out)
    assert {**other, "variant": ""} == {**row, "variant": ""}  # which is not run again
    assert "became" in failed["failure"]
    assert failed["test_accuracy"] == ""
    for name in ("table.md", "report.html"):
        assert failed["failure"].split(";")[0] in (out / name).read_text()
