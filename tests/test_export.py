"""The command that exports: other programs get from its files what training computes."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest
from safetensors import safe_open

from rnnjax import export, stored_config
from rnnjax.config import Config
from rnnjax.data.datasets import Split
from rnnjax.exporting.inference import Inference, inference_of
from rnnjax.exporting.onnx import to_onnx
from rnnjax.exporting.safetensors import to_safetensors
from rnnjax.exporting.stablehlo import to_stablehlo
from rnnjax.runs import workdir as workdirs
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.task import build_task
from rnnjax.training.trained import Trained
from tests.test_readme import blocks

READERS = {
    kind: next(block for block in blocks("README.md", "python") if f"/tmp/lstm.{kind}" in block)
    for kind in ("stablehlo", "onnx")
}


pytestmark = [pytest.mark.process, pytest.mark.usefixtures("unchecked")]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """What a checkpoint of step 2 would hold."""
    config = Config()
    config.data.name, config.data.sequence = "garments", "permuted_pixels"
    config.model.hidden_size = 8
    task = build_task(config)
    return Trained(Path(), config, task, 2, task.create_state().params)


def run(
    arguments: Sequence[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, *arguments], {**os.environ, **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def run_export(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(["-m", "rnnjax.export", *arguments], root, **environment)


def test_the_command_says_what_it_wrote(root: Path, tmp_path: Path, finished_run: Path) -> None:
    (tmp_path / "model").write_text("an earlier one")
    done = run_export(root, f"--workdir={finished_run}", f"--out={tmp_path}/model", "--format=onnx")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"step     12  onnx  0.0 MiB  {tmp_path}/model\n"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    onnx.checker.check_model(onnx.load(tmp_path / "model"))


def arguments(workdir: Path, out: Path) -> argparse.Namespace:
    return argparse.Namespace(workdir=workdir, step=None, seed=None, out=out, format=None)


def test_what_is_rounded_otherwise_is_said(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, out = tmp_path / "run", tmp_path / "model.ONNX"
    shutil.copytree(finished_run, workdir)
    config = workdirs.read_config(workdir)
    config.model.compute_dtype = "bfloat16"
    workdirs.write_config(workdir, config, workdirs.identity(workdir))
    export.export(arguments(workdir, out))
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"  {out}")
    assert second.startswith("it computes in float32, the training in bfloat16: probabilities")
    onnx.checker.check_model(onnx.load(out))
    export.export(arguments(workdir, tmp_path / "model.SafeTensors"))
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "convert", "tolerance"), [("stablehlo", to_stablehlo, 1e-6), ("onnx", to_onnx, 1e-5)]
)
def test_the_readme_reads_them_without_rnnjax(
    tmp_path: Path,
    trained: Trained,
    kind: str,
    convert: Callable[[Inference], bytes],
    tolerance: float,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "model").write_bytes(convert(inference_of(trained)))
    block = READERS[kind].replace(f"/tmp/lstm.{kind}", "model")
    block = block.replace("np.zeros((1, 28, 28), np.uint8)", "np.load('images.npy')")
    *lines, last = block.splitlines()
    printed = last.removeprefix("print(").removesuffix(")")
    script = ["import sys", "sys.modules['rnnjax'] = None", *lines, f"np.save('p', {printed})"]
    done = run(["-c", "\n".join(script)], tmp_path)
    assert done.returncode == 0, done.stderr
    split = Split(images, np.zeros(100, np.int32))
    expected = evaluate_trained(trained, split).predictions.probabilities
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=0, atol=tolerance)


def test_weights_have_names_and_what_is_to_know(tmp_path: Path, trained: Trained) -> None:
    (tmp_path / "model").write_bytes(to_safetensors(inference_of(trained)))
    with safe_open(tmp_path / "model", "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no dict
        about = file.metadata()
    leaves = jax.tree_util.tree_leaves_with_path(trained.params)
    assert len(arrays) == len(leaves)
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_array_equal(arrays[name], leaf)
    assert about["step"] == "2"
    assert stored_config.from_dict(json.loads(about["config"])) == trained.config
    assert json.loads(about["versions"])["jax"] == jax.__version__
    assert json.loads(about["classes"])[0] == "T-shirt/top"


def test_what_cannot_be_is_said_at_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "fifo.onnx")
    (tmp_path / "link.onnx").symlink_to("precious")
    (tmp_path / "precious").write_text("precious")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cases = {
        "folder.onnx": "cannot be written: it is a folder",
        "fifo.onnx": "cannot be written: it is a FIFO",
        "link.onnx": "cannot be written: it is a link",
        "missing/model.onnx": "cannot be written: No such file",
        "model.h5": "ends in none of .stablehlo, .onnx, .safetensors, .html",
        "model": "ends in none of",
        "model.onnx": "holds no run",
        "elsewhere/model.onnx": "where only the run itself writes",
    }
    for name, words in cases.items():
        done = run_export(root, f"--workdir={elsewhere}", f"--out={tmp_path / name}")
        assert done.returncode == 2, name
        assert words in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 5
    assert not list(elsewhere.iterdir())


PACKAGES = [
    (kind, package) for kind, of_kind in export.FORMATS.items() for package in of_kind.packages
]


@pytest.mark.parametrize(("kind", "package"), PACKAGES)
def test_a_missing_package_is_named(root: Path, tmp_path: Path, kind: str, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import rnnjax.export as e; e.main()"
    done = run(["-c", code, "--workdir=.", f"--format={kind}", f"--out={tmp_path}/model"], root)
    assert done.returncode == 2
    assert "pip install 'rnnjax[export]'" in done.stderr


def test_a_page_without_a_network(root: Path, tmp_path: Path) -> None:
    elsewhere = {"XDG_CACHE_HOME": str(tmp_path), "NPM_CONFIG_REGISTRY": "http://localhost:1"}
    done = run_export(root, "--workdir=.", f"--out={tmp_path}/page.html", **elsewhere)
    assert done.returncode == 2
    assert "npm could not fetch: go online once, or put its npm package" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
