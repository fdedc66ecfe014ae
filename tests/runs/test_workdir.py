"""Files of a workdir that cannot be believed, or not even be read."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.reporting.report import open_report
from rnnjax.reporting.summaries import open_pool
from rnnjax.runs import result, sealed, workdir
from rnnjax.runs.checkpoint import Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.runs.result import Result
from rnnjax.runs.sealed import DamagedFileError
from rnnjax.stored_config import to_dict
from rnnjax.system.files import UntrustedFileError
from tests.runs.test_checkpoints import ORIGIN

RESULT = Result(0.5, 1.0, 10, 3.0, "garments", 0)


def test_a_result_is_of_one_run(tmp_path: Path) -> None:
    result.write(tmp_path, RESULT, "this")
    assert result.read(tmp_path, "this") == RESULT
    with pytest.raises(DamagedFileError, match=r"result\.json is of another run"):
        result.read(tmp_path, "another")


def test_a_folder_that_has_become_a_link_is_not_gone_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "precious.tmp").mkdir(parents=True)
    for name in ("checkpoints", "train"):
        (tmp_path / name).symlink_to(outside)
    with pytest.raises(UntrustedFileError, match="is a link, not a folder"):
        Checkpoints(tmp_path / "checkpoints", num_newest=3).prepare(ORIGIN)
    report = open_report(
        tmp_path,
        open_pool(),
        "garments",
        ("train",),
        first_step=0,
        evaluates_first=False,
    )
    with pytest.raises(UntrustedFileError, match="is a link, not a folder"), report:
        pass
    assert [path.name for path in outside.rglob("*")] == ["precious.tmp"]


def test_only_what_a_run_has_made_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with workdir.held(tmp_path):
        (tmp_path / "train").mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "lock"}


def test_a_link_planted_between_two_saves(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, num_newest=3)
    checkpoints.prepare(ORIGIN)
    folder.rename(tmp_path / "away")
    folder.symlink_to(tmp_path / "away")
    checkpoints.save(1, {"weight": np.zeros(2)}, Progress())
    with pytest.raises(UntrustedFileError, match="is a link, not a folder"):
        checkpoints.close()
    assert not any((tmp_path / "away").iterdir())


def test_a_file_too_large_to_be_one_of_a_run(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(3 * 2**40)  # sparse
    with pytest.raises(ConfigError, match=r"config\.json is damaged"):
        workdir.read_config(tmp_path)


def test_options_that_no_cell_has(tmp_path: Path) -> None:
    stored = {**to_dict(Config()), "model.cell_options": {"__class__": 3}, "run": "this"}
    sealed.write(tmp_path / "config.json", stored)
    with pytest.raises(ConfigError, match=r"config\.model\.cell_options=\{'__class__': 3\}"):
        workdir.read_config(tmp_path)


READ_EACH = """
import os, sys
from pathlib import Path
from rnnjax.config import Config
from rnnjax.errors import RunError
from rnnjax.runs import resume
if os.geteuid() == 0:
    os.seteuid(65534)
for name in sys.argv[2:]:
    try:
        resume.finished(Config(), Path(sys.argv[1], name), dict)
    except RunError as error:
        print(error)
"""


@pytest.mark.process
def test_what_may_not_be_read_is_not_called_damaged() -> None:
    """In a process of another user, since root may read everything."""
    names = ("config.json", "checkpoints", "result.json")
    with tempfile.TemporaryDirectory() as place:  # in which others may read, as in pytest's none
        Path(place).chmod(0o755)
        for name in names:
            folder = Path(place, name)
            (folder / "checkpoints" / "7").mkdir(parents=True)
            workdir.write_config(folder, Config(), "this")
            result.write(folder, RESULT, "this")
            (folder / name).chmod(0)
            folder.chmod(0o777)
        command = [sys.executable, "-c", READ_EACH, place, *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, line in zip(names, done.stdout.splitlines(), strict=True):
            assert f"{name} could not be read or written" in line
            assert f"Permission denied: '{place}/{name}/{name}'" in line
