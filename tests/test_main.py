"""The command as its users type it: each mistake is one line and exit code 2, nothing written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import absl
import ml_collections
import pytest

pytestmark = pytest.mark.process


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rnnjax.main", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def check_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--config.model.hiden_size=3", ["config.model.hiden_size", "'model.hidden_size'"]),
        ("--config.modle.hidden_size=3", ["config.modle.hidden_size", "'model.hidden_size'"]),
        ("--config.model.hidden_size=many", ["hidden_size=many must be a whole number"]),
        ("--config.optimizer.learning_rate=", ["learning_rate= must be a number"]),
        ("--config.model.bidirectional=maybe", ["bidirectional=maybe must be True or False"]),
        ("--config.model.hidden_size=0", ["config.model.hidden_size=0", "at least 1"]),
        ("--config.model.output_keep_prob=1.5", ["config.model.output_keep_prob=1.5", "at most 1"]),
        ("--config.model.cell=lsmt", ["'lsmt'", "'lstm'"]),
        ("--config.model.cell_options={'peepholes':True}", ["'peepholes'", "'use_peepholes'"]),
        ("--config.model.cell_options={'cell_clip':-1}", ["cell_clip", "-1"]),
        ("--config.model.cell_options={'use_peepholes':3}", ["'use_peepholes'", "3"]),
        ("--config.data.name=fashion", ["'fashion'", "'fashion_mnist'"]),
        ("--config.batch_size=127", ["config.batch_size=127", "4 devices"]),
        ("--config.data.validation_size=20000", ["validation_size=20000", "20000"]),
        ("--confg=x", ["confg"]),
        ("--config.seed", ["config.seed"]),
        ("leftover", ["'leftover'"]),
        ("--config.optimizer.warmup_steps=1180591620717411303424", ["warmup_steps=118", "at most"]),
        ("--config.optimizer.learning_rate=1e308", ["learning_rate=1e+308", "at most 3e+38"]),
        ("--config.eval_batch_size=10000000000000", ["eval_batch_size=1000", "at most"]),
        ("--config.model.hidden_size=10000000", ["hidden_size=10000000 takes", "GiB"]),
        ("--config.eval_batch_size=1000000000", ["eval_batch_size=1000000000 takes", "GiB"]),
        ("--config.model.cell_options.cell_clip", ["cell_options.cell_clip=0.9"]),
        ("--config.model.cell_options.peepholes=True", ["'peepholes'", "'use_peepholes'"]),
        ("--workdir=gs://bucket/run", ["--workdir=gs://bucket/run is no folder of a disk"]),
        ("--config.data.data_dir=/tmp/\udcff", [r"/tmp/\udcff' has bytes that are no UTF-8"]),
        ("--config.data.idx_dir=s3://bucket", ["config.data.idx_dir='s3://bucket' is no folder"]),
    ],
)
def test_wrong_settings(root: Path, tmp_path: Path, setting: str, words: list[str]) -> None:
    workdir = tmp_path / "run"
    done = run(root, f"--workdir={workdir}", "--config=experiments/smoke.py", setting)
    check_refused(done, *words)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("experiments/lstn.py", ["experiments/lstn.py", "does not exist", "experiments/lstm.py?"]),
        ("lstm", ["'lstm' does not exist", "did you mean experiments/lstm.py?"]),
        ("experiments", ["'experiments' is no file"]),
        ("/dev/zero", ["'/dev/zero' is no file"]),
    ],
)
def test_missing_config_file(root: Path, tmp_path: Path, config: str, words: list[str]) -> None:
    done = run(root, f"--workdir={tmp_path / 'run'}", "--config", config)
    check_refused(done, *words)


@pytest.mark.parametrize("given", ["--workdir=/tmp/unused", "--config=experiments/lstm.py"])
def test_missing_flag(root: Path, given: str) -> None:
    check_refused(run(root, given), "is missing")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def get_config(:", ["SyntaxError"]),
        ("import nonsense_module", ["nonsense_module"]),
        ("def get_config(): return 3", ["Config", "3"]),
        ("def get_config(): raise ValueError('half a cell')", ["half a cell"]),
        (
            "from rnnjax.config import Config\n"
            "def get_config():\n  config = Config()\n  config.num_step = 3\n  return config",
            ["num_step"],
        ),
        ("import sys; sys.exit(0)", ["sys.exit"]),
        (
            "class Mute(BaseException):\n  def __str__(self): raise ValueError\nraise Mute",
            ["failed: Mute: ", "broken.py:3"],
        ),
        ("def get_config():\n  open('/nowhere/at/all')", ["FileNotFoundError", "broken.py:2"]),
        ("x = 3", ["the config file has no function get_config()"]),
        ("\nraise KeyboardInterrupt", ["KeyboardInterrupt", "broken.py:2"]),
        (
            "def get_config():\n  raise ValueError('first\\nsecond')",
            ["failed: ValueError: first second", "broken.py:2"],
        ),
    ],
)
def test_broken_config_file(root: Path, tmp_path: Path, code: str, words: list[str]) -> None:
    file = tmp_path / "broken.py"
    file.write_text(code)
    check_refused(run(root, f"--workdir={tmp_path / 'run'}", f"--config={file}"), *words)
    assert not (tmp_path / "run").exists()


def test_help_with_a_broken_config_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def get_config():\n  raise ValueError('half a cell')")
    done = run(root, f"--config={tmp_path / 'broken.py'}", "--help")
    check_refused(done, "the config file failed: ValueError: half a cell", "broken.py:2")


def test_packages_elsewhere_are_not_the_users(root: Path, tmp_path: Path) -> None:
    """As those of Debian, or of `pip install --user`."""
    for package in (absl, ml_collections):
        folder = Path(str(package.__file__)).parent
        shutil.copytree(folder, tmp_path / folder.name)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "rnnjax.main", f"--workdir={tmp_path}/run"]
    command += ["--config=experiments/smoke.py", "--config.seed=x"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment
    )
    check_refused(done, "--config.seed=x must be a whole number")


def test_a_config_file_that_writes_to_a_process_that_has_ended(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pipe.py").write_text(
        "import subprocess\n"
        "process = subprocess.Popen(['true'], stdin=subprocess.PIPE)\n"
        "process.wait()\n"
        "try:\n  process.stdin.write(b'x' * 100_000)\n"
        "except BrokenPipeError:\n  raise SystemError('told')\n"
    )
    done = run(root, f"--workdir={tmp_path / 'run'}", f"--config={tmp_path / 'pipe.py'}")
    check_refused(done, "the config file failed: SystemError: told", "pipe.py:7")


def test_a_config_file_imports_its_neighbour(root: Path, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("raise ValueError('imported')")
    (tmp_path / "mine.py").write_text("import neighbour")
    done = run(root, f"--workdir={tmp_path / 'run'}", f"--config={tmp_path / 'mine.py'}")
    check_refused(done, "ValueError: imported")


def test_options_by_name_home_and_none(root: Path, tmp_path: Path) -> None:
    """`~` is the home, `None` is empty, and an option of the cell can be named by itself."""
    settings = ["--config.num_steps=1", "--config.data.data_dir=None"]
    settings += ["--config.model.cell_options.cell_clip=0.5", "--workdir=~/run"]
    command = [sys.executable, "-m", "rnnjax.main", "--config=experiments/smoke.py", *settings]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["model.cell_options"] == {"cell_clip": 0.5}
    assert stored["data.data_dir"] == ""
    assert not (root / "None").exists()


def test_workdir_that_cannot_be_made(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    workdir = tmp_path / "file" / "run"
    done = run(root, f"--workdir={workdir}", "--config=experiments/smoke.py")
    check_refused(done, str(workdir), "cannot be written")


def test_escape_sequences_do_not_reach_the_terminal(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    workdir = tmp_path / "file" / "\x1b]0;title\x07\N{RIGHT-TO-LEFT OVERRIDE}"
    done = run(root, f"--workdir={workdir}", "--config=experiments/smoke.py")
    check_refused(done, r"\x1b]0;title\x07\u202e", "cannot be written")
    assert all(c.isprintable() for c in done.stderr.removesuffix("\n"))


@pytest.mark.parametrize("kind", ["long", "link", "no text"])
def test_workdir_of_a_strange_name(root: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    name, shown, words = {
        "long": ("x" * 300, "x" * 300, "cannot be written"),
        "link": ("link", "link", "cannot be written"),
        "no text": ("run\udcff", r"run\udcff", "has bytes that are no UTF-8"),
    }[kind]
    done = run(root, f"--workdir={tmp_path / name}", "--config=experiments/smoke.py")
    check_refused(done, str(tmp_path / shown), words)
    assert not os.path.exists(tmp_path / name)


def test_help_names_every_setting_without_importing_jax(root: Path) -> None:
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    command = [sys.executable, "-m", "rnnjax.main", "--help"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment
    )
    assert "--config.model.hidden_size=256" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"jax", "flax", "tensorflow"})
