"""Cells of the user's own, by where they are: trained, resumed, read again, and refused."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax import cell_source
from rnnjax.cells import CELLS
from rnnjax.config import Config, DataConfig
from rnnjax.data import datasets
from rnnjax.errors import ConfigError
from rnnjax.runs.workdir import CONFIG, read_config, write_config
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.train import train
from rnnjax.training.trained import read_trained

pytestmark = pytest.mark.process

LEAKY = Path(__file__).with_name("leaky_cell.py").read_text()
# What a cell must hold to, and a change of the one above that breaks it.
BROKEN = {
    "examples of a batch are independent": ("jnp.tanh(products)", "jnp.tanh(products).mean(0)"),
    "it reads its inputs": ("jnp.tanh(products)", "jnp.tanh(params.bias)"),
    "gradients are finite": (
        "jnp.tanh(products)",
        "jnp.where(products > 99, jnp.sqrt(products - 99), jnp.tanh(products))",
    ),
}


def tiny(cell: str, steps: int = 2) -> Config:
    config = Config(num_steps=steps, data=DataConfig("garments"))
    config.model.cell, config.model.hidden_size = cell, 4
    return config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "code" / "leaky.py"
    file.parent.mkdir()
    file.write_text(LEAKY)
    return file


def test_a_cell_in_a_file(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is trained, read again from another folder, and gone on with from where it has moved."""
    monkeypatch.chdir(file.parent)
    workdir = tmp_path / "run"
    config = tiny("leaky.py:LeakyCell")
    config.model.cell_options.leak = 0.25
    result = train(config, workdir)
    assert config.model.cell == "leaky.py:LeakyCell"  # a caller's settings are the caller's

    monkeypatch.chdir(tmp_path)
    stored = read_config(workdir)
    assert stored.model.cell == f"{file}:LeakyCell"
    assert stored.model.cell_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    trained = read_trained(workdir)
    test = datasets.load(stored.data).test
    assert evaluate_trained(trained, test).accuracy == result.test_accuracy

    moved = file.rename(file.with_name("moved.py"))
    config = tiny(f"{moved}:LeakyCell", steps=3)
    config.model.cell_options.leak = 0.25
    assert train(config, workdir).steps == 3
    assert read_config(workdir).model.cell == f"{moved}:LeakyCell"


def test_a_file_that_changes(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reading says so; going on would be another run."""
    workdir = tmp_path / "run"
    train(tiny(f"{file}:LeakyCell"), workdir)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_text(f"{LEAKY}\n# a word\n")
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    read_trained(workdir)
    line = f"rnnjax: {file} has changed since: its sha256 was {before[:12]} and is now {after[:12]}"
    assert capsys.readouterr().err.splitlines() == [line]
    words = f"was '{before}' and is now '{after}' (the file of the cell has changed)"
    with pytest.raises(ConfigError, match=re.escape(words)):
        train(tiny(f"{file}:LeakyCell", steps=3), workdir)
    pinned = tiny(f"{file}:LeakyCell")
    pinned.model.cell_sha256 = before
    with pytest.raises(ConfigError, match=f"but {file} has changed since"):
        train(pinned, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_nothing_is_run_from_a_workdir(tmp_path: Path, file: Path) -> None:
    workdir = tmp_path / "run"
    train(tiny(f"{file}:LeakyCell"), workdir)
    planted = workdir / "planted.py"
    planted.write_text(f"open({str(tmp_path / 'was_here')!r}, 'w')\n")
    linked = tmp_path / "linked.py"
    linked.symlink_to(planted)
    for name in (planted, linked, workdir / "train" / ".." / "planted.py"):
        config = read_config(workdir)
        config.model.cell = f"{name}:LeakyCell"
        write_config(workdir, config, json.loads((workdir / CONFIG).read_text())["run"])
        with pytest.raises(ConfigError, match="nothing is run from a workdir"):
            read_trained(workdir)
        with pytest.raises(ConfigError, match="nothing is run from a workdir"):
            train(config, workdir)
    assert not (tmp_path / "was_here").exists()


def test_no_module_is_imported_from_a_workdir(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the current folder, in which Python looks for modules, is the workdir."""
    workdir = tmp_path / "run"
    train(tiny(f"{file}:LeakyCell"), workdir)
    mark = f"open({str(tmp_path / 'was_here')!r}, 'w')\n"
    (workdir / "planted_module.py").write_text(mark)
    (workdir / "planted_package").mkdir()
    (workdir / "planted_package" / "__init__.py").write_text(mark)
    monkeypatch.syspath_prepend(workdir)
    for name in ("planted_module", "planted_package", "planted_package.cells"):
        config = read_config(workdir)
        config.model.cell = f"{name}:LeakyCell"
        write_config(workdir, config, json.loads((workdir / CONFIG).read_text())["run"])
        with pytest.raises(ConfigError, match="nothing is run from a workdir"):
            read_trained(workdir)
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lsmt", "", "did you mean 'lstm'.*FILE.py:CLASS"),
        ("", "", "config.model.cell='' is unknown"),
        ("missing.py:Cell", "", "missing.py: No such file"),
        (".:Cell", "", "No module named|no such|is unknown|relative"),
        ("here.py:", "", "is unknown"),
        ("here.py:LeakyCel", LEAKY, "did you mean 'LeakyCell'"),
        ("here.py:LeakyCarry", LEAKY, "is no cell there"),
        ("here.py:Cell", "x = 1", "it has no class that is one"),
        ("here.py:Cell", "x = = 1", r"SyntaxError: .*here\.py:1\)"),
        ("here.py:Cell", "\nimport nothing_like_it", r"ModuleNotFoundError.*here\.py:2\)"),
        ("here.py:Cell", "raise SystemExit", "ends the program"),
        ("here_too:Cell", "raise SystemExit", "ends the program"),
        ("nothing.like_it:Cell", "", "No module named 'nothing'"),
        ("folder.py:Cell", "", "is no file"),
        ("fifo.py:Cell", "", "is no file"),
    ],
)
def test_what_is_no_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "here.py").write_text(content)
    (tmp_path / "here_too.py").write_text(content)
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "fifo.py")
    with pytest.raises(ConfigError, match=message):
        train(tiny(name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", BROKEN)
def test_what_every_cell_holds_to(tmp_path: Path, file: Path, name: str) -> None:
    file.write_text(LEAKY.replace(*BROKEN[name]))
    if name == "it reads its inputs":
        file.write_text(
            file.read_text().replace("source =", 'pointwise_params = ("bias",)\n    source =')
        )
    with pytest.raises(ConfigError, match=f"not so: {name}: "):
        train(tiny(f"{file}:LeakyCell"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cell_of_flax() -> None:
    config = tiny("flax.linen:GRUCell")
    located = cell_source.locate(config, Path("run"))
    assert located.model.cell == "flax.linen:GRUCell"
    assert len(located.model.cell_sha256) == 64
    located.model.cell = "lstm"
    with pytest.raises(ConfigError, match="and 'lstm' is registered"):
        cell_source.locate(located, Path("run"))


def test_the_command_describes_and_tries_a_cell(root: Path, file: Path) -> None:
    done = cells(root, f"{file}:LeakyCell")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{file}:LeakyCell"
    assert "h' = leak * h + (1 - leak) * tanh([x, h] W + b)" in lines
    assert f"{(28 + 256 + 1) * 256:,} parameters at H=256" in done.stdout
    assert "  kernel 284x256" in lines
    assert "  hidden 256" in lines
    answers = [line.split()[0] for line in lines[lines.index("States:") + 3 :]]
    assert answers == ["yes"] * 6

    file.write_text(LEAKY.replace(*BROKEN["gradients are finite"]))
    done = cells(root, f"{file}:LeakyCell")
    assert done.returncode == 2
    assert "  NO   gradients are finite (not those of " in done.stdout
    assert done.stderr.startswith(f"rnnjax: {file}:LeakyCell does not hold: gradients are finite")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_counts_as_its_table_does(root: Path) -> None:
    """And ends without a word where whoever reads it has read enough."""
    table = cells(root).stdout.splitlines()
    (of_table,) = (line.split()[1] for line in table if line.startswith("lstm "))
    described = cells(root, "lstm").stdout
    assert f"{of_table} parameters at H=256" in described
    assert "c' = sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j)" in described
    assert len(table) == 3 + len(CELLS)
    line = f"{sys.executable} -m rnnjax.cells lstm | head -1"
    done = subprocess.run(line, shell=True, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "lstm\n"
    assert not done.stderr


def cells(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rnnjax.cells", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
