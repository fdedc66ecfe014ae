"""The command that exports: other programs get from its files what training computes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.data.datasets import Split
from rnnjax.export import FORMATS, export
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.train import train
from rnnjax.training.trained import Trained, read_trained
from tests.test_readme import blocks

READERS = {
    kind: next(block for block in blocks("README.md", "python") if f"/tmp/lstm.{kind}" in block)
    for kind in ("stablehlo", "onnx")
}


pytestmark = [pytest.mark.process, pytest.mark.usefixtures("unchecked")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = Config(num_steps=2)
    config.data.name, config.data.sequence = "garments", "columns"
    config.model.hidden_size = 8
    workdir = tmp_path_factory.mktemp("run")
    train(config, workdir)
    return read_trained(workdir)


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model in every format, and the first test images."""
    folder = tmp_path_factory.mktemp("exported")
    for kind in FORMATS:
        export(trained.workdir, None, folder / f"model.{kind}", None)
    np.save(folder / "images.npy", first_images(trained).images)
    return folder


def first_images(trained: Trained) -> Split:
    return Split(*(array[:100] for array in datasets.load(trained.config.data).test))


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def export_command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["-m", "rnnjax.export", *arguments], root)


def test_the_command_says_what_it_wrote(root: Path, tmp_path: Path, trained: Trained) -> None:
    arguments = (f"--workdir={trained.workdir}", f"--out={tmp_path}/model", "--format=safetensors")
    done = export_command(root, *arguments, "--step=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"step      2  safetensors  0.0 MiB  {tmp_path}/model\n"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("kind", "tolerance"), [("stablehlo", 1e-6), ("onnx", 1e-5)])
def test_the_readme_reads_them_without_rnnjax(
    folder: Path, trained: Trained, kind: str, tolerance: float
) -> None:
    block = READERS[kind].replace(f"/tmp/lstm.{kind}", f"model.{kind}")
    block = block.replace("np.zeros((1, 28, 28), np.uint8)", "np.load('images.npy')")
    *lines, last = block.splitlines()
    printed = last.removeprefix("print(").removesuffix(")")
    script = ["import sys", "sys.modules['rnnjax'] = None", *lines, f"np.save('p', {printed})"]
    done = run(["-c", "\n".join(script)], folder)
    assert done.returncode == 0, done.stderr
    expected = evaluate_trained(trained, first_images(trained)).predictions.probabilities
    np.testing.assert_allclose(np.load(folder / "p.npy"), expected, rtol=0, atol=tolerance)


def test_weights_have_names_and_what_is_to_know(folder: Path, trained: Trained) -> None:
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    leaves = jax.tree_util.tree_leaves_with_path(trained.params)
    assert len(arrays) == len(leaves)
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_array_equal(arrays[name], leaf)
    with safe_open(folder / "model.safetensors", "numpy") as file:
        about = file.metadata()
    assert about["step"] == "2"
    assert stored_config.from_dict(json.loads(about["config"])) == trained.config
    assert json.loads(about["versions"])["jax"] == jax.__version__
    assert json.loads(about["classes"])[0] == "T-shirt/top"


def test_what_cannot_be_is_said_at_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "fifo.onnx")
    cases = {
        "folder.onnx": "cannot be written: it is a folder",
        "fifo.onnx": "cannot be written: it is a FIFO",
        "missing/model.onnx": "cannot be written: No such file",
        "model.h5": "ends in none of .stablehlo, .onnx, .safetensors",
        "model": "ends in none of",
        "model.onnx": "holds no run",
    }
    for name, words in cases.items():
        done = export_command(root, f"--workdir={tmp_path}", f"--out={tmp_path / name}")
        assert done.returncode == 2, name
        assert words in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"folder.onnx", "fifo.onnx"}


def test_a_link_is_replaced_not_followed(tmp_path: Path, trained: Trained) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link.safetensors").symlink_to("precious")
    export(trained.workdir, None, tmp_path / "link.safetensors", None)
    assert not (tmp_path / "link.safetensors").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("kind", [kind for kind, package in FORMATS.items() if package != "jax"])
def test_a_missing_package_is_named(root: Path, tmp_path: Path, kind: str) -> None:
    code = f"import sys; sys.modules[{FORMATS[kind]!r}] = None; import rnnjax.export as e; e.main()"
    done = run(["-c", code, "--workdir=.", f"--out={tmp_path}/model.{kind}"], root)
    assert done.returncode == 2
    assert "pip install 'rnnjax[export]'" in done.stderr
