"""The folder of checkpoints, when it holds strange things."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnjax.config import Config
from rnnjax.errors import RunError
from rnnjax.runs import manifest
from rnnjax.runs.checkpoint import METADATA_FILE, Origin, Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.runs.steps import largest_named, read_step, steps_in
from rnnjax.runs.workdir import FREE_ON_RESUME
from rnnjax.training.state import TrainState
from rnnjax.training.task import build_task

ORIGIN = Origin("this run", {})


@pytest.fixture(scope="module")
def state() -> TrainState:
    config = Config()
    config.model.hidden_size = 2
    return build_task(config).create_state()


def at(state: TrainState, step: int) -> TrainState:
    return state.replace(step=np.int32(step))  # pyright: ignore[reportAttributeAccessIssue]


def saved(folder: Path, state: TrainState, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, num_newest=3)
    checkpoints.prepare(ORIGIN)
    for step in steps:
        checkpoints.save(step, at(state, step), Progress())
    checkpoints.wait()
    return checkpoints


def test_what_only_looks_like_a_step_costs_nothing(
    tmp_path: Path, state: TrainState, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, state, 40).close()
    shutil.copytree(tmp_path / "40", tmp_path / "00040")
    (tmp_path / "1").write_text("a file")
    (tmp_path / "2").symlink_to(tmp_path / "40")
    (tmp_path / "4\N{ARABIC-INDIC DIGIT ZERO}").mkdir()
    assert steps_in(tmp_path) == [40]
    checkpoints = Checkpoints(tmp_path, num_newest=3)
    checkpoints.prepare(ORIGIN)
    for step in (41, 42, 43):
        checkpoints.save(step, at(state, step), Progress())
    checkpoints.close()
    assert steps_in(tmp_path) == [41, 42, 43]
    actual = capsys.readouterr().err
    for name, kind in (("1", "a file"), ("2", "a link")):
        assert f"{tmp_path / name} is {kind}, not a folder; moved to {name}.damaged" in actual
    assert {"00040", "1.damaged", "2.damaged", "4\N{ARABIC-INDIC DIGIT ZERO}"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_a_step_under_another_name_is_damage(
    tmp_path: Path, state: TrainState, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = saved(tmp_path, state, 7)
    shutil.copytree(tmp_path / "7", tmp_path / "100")
    restored = checkpoints.restore(state)
    assert restored is not None
    assert restored.state.step == 7
    assert "it is of step 7; moved to 100.damaged" in capsys.readouterr().err


def test_a_checkpoint_of_an_earlier_version_is_refused_and_left(
    tmp_path: Path, state: TrainState
) -> None:
    checkpoints = saved(tmp_path, state, 7)
    metadata_file = tmp_path / "7" / METADATA_FILE
    metadata = json.loads(metadata_file.read_text())
    del metadata["origin"]
    metadata_file.write_text(json.dumps(metadata))
    (tmp_path / "7" / manifest.NAME).unlink()
    manifest.seal(tmp_path / "7")
    with pytest.raises(RunError, match="written by an earlier rnnjax"):
        checkpoints.restore(state)
    assert steps_in(tmp_path) == [7]


def test_a_folder_in_place_of_the_seal_is_damage(
    tmp_path: Path, state: TrainState, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = saved(tmp_path, state, 7, 8)
    (tmp_path / "8" / manifest.NAME).unlink()
    (tmp_path / "8" / manifest.NAME).mkdir()
    restored = checkpoints.restore(state)
    assert restored is not None
    assert restored.state.step == 7
    assert f"{manifest.NAME} is a folder, not a file; moved to 8.damaged" in capsys.readouterr().err


def test_only_other_checkpoints_are_named_in_the_place_of_a_damaged_one(
    tmp_path: Path, state: TrainState
) -> None:
    saved(tmp_path, state, 7, 8, 9)
    (tmp_path / "9" / METADATA_FILE).write_text("damaged")
    for step in (None, 9):
        with pytest.raises(RunError, match=r"damaged: .*; those of the steps 7, 8 remain: --s"):
            read_step(tmp_path, step, state)
    for step in (7, 8):
        shutil.rmtree(tmp_path / str(step))
    with pytest.raises(RunError, match=r"; there is no other$"):
        read_step(tmp_path, None, state)


def test_a_disk_that_does_not_answer_condemns_nothing(
    tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, state, 7, 8)

    def fail(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "_digest", fail)
        with pytest.raises(OSError, match="Input/output error"):
            checkpoints.restore(state)
    restored = checkpoints.restore(state)
    assert restored is not None
    assert restored.state.step == 8


def test_the_readme_lists_what_may_change_on_resume(root: Path) -> None:
    _, _, after = (root / "README.md").read_text().partition("On resume these settings may change:")
    paragraph = after.partition("Any other is refused")[0]
    assert set(paragraph.split("`")[1::2]) == set(FREE_ON_RESUME)


def test_the_largest_step_that_was_once_there(tmp_path: Path) -> None:
    assert largest_named(tmp_path / "missing") == largest_named(tmp_path) == 0
    for name in ("7", "40.damaged", "00099", "x.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "45").symlink_to(tmp_path / "7")
    assert largest_named(tmp_path) == 45
    assert steps_in(tmp_path) == [7]


def test_what_cannot_be_listed_is_not_a_folder_without_checkpoints(tmp_path: Path) -> None:
    assert steps_in(tmp_path / "missing") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        steps_in(tmp_path / "file")
