"""Any image set of TFDS by its name: sets on disk, of other sizes, colours and classes."""

import io
import json
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import tensorflow_datasets as tfds
from jax import export
from PIL import Image

from rnnjax.config import Config, DataConfig
from rnnjax.data import datasets
from rnnjax.errors import ConfigError, DataError
from rnnjax.exporting.inference import inference_of
from rnnjax.exporting.onnx import to_onnx
from rnnjax.exporting.runtime import Runtime
from rnnjax.exporting.stablehlo import to_stablehlo
from rnnjax.exporting.web import to_web
from rnnjax.report import report
from rnnjax.training import answers
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.train import train
from rnnjax.training.trained import Trained, read_trained
from tests.image_sets import COLOURS, features, flags, store, store_flags, store_mnist

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFDS's data folder, with sets that can be classified and some that cannot."""
    root = tmp_path_factory.mktemp("tfds")
    store_mnist(root)
    store_flags(root)
    few = flags(4, 2)
    both = {"train": few, "test": few}
    store(root, "sizes", features((None, None, 3)), both, "1.0.0")
    store(root, "untested", features((12, 10, 3)), {"train": few}, "1.0.0")
    opaque = np.concatenate([few[0], few[0][..., :1]], axis=-1), few[1]
    store(root, "opaque", features((12, 10, 4)), {"train": opaque, "test": opaque}, "1.0.0")
    pictures = {"image": features((12, 10, 3))["image"], "number": tfds.features.Scalar(np.int64)}
    store(root, "numbered", pictures, both, "1.0.0")
    return root


def settings(folder: Path, name: str, **options: Any) -> DataConfig:
    return DataConfig(name, data_dir=str(folder), **options)


@pytest.mark.parametrize(
    ("name", "shape", "test"),
    [
        ("mnist", (28, 28), "test"),
        ("mnist:3.0.1", (28, 28), "test"),
        ("flags", (12, 10, 3), "validation"),
    ],
)
def test_images_and_labels_are_those_that_tfds_reads(
    folder: Path, name: str, shape: tuple[int, ...], test: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = datasets.load(settings(folder, name, validation_size=50))
    assert dataset.validation is not None
    for split, actual in (("train", dataset.train), (test, dataset.test)):
        read: Any = tfds.load(name, split=split, data_dir=folder, batch_size=-1)
        images, labels = np.asarray(read["image"]), np.asarray(read["label"])
        if split == "train":
            held = dataset.validation
            actual = datasets.Split(*map(np.concatenate, zip(actual, held, strict=True)))
            assert len(held.labels) == 50
        np.testing.assert_array_equal(actual.images, images.reshape(-1, *shape))
        np.testing.assert_array_equal(actual.labels, labels)
        assert (actual.images.dtype, actual.labels.dtype) == (np.uint8, np.int32)
    names = COLOURS if name == "flags" else tuple(map(str, range(10)))
    assert datasets.describe(settings(folder, name)) == (name, names, shape)
    warned = capsys.readouterr().err.count(
        "has no test split: it is tested on its validation split"
    )
    assert warned == (name == "flags")


def test_a_whole_run_on_a_set_in_the_place_of_mnist(
    root: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, own = tmp_path / "run", tmp_path / "own.png"

    def command(module: str, *arguments: str | Path) -> str:
        line = [sys.executable, "-m", f"rnnjax.{module}", f"--workdir={workdir}", *arguments]
        done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    wanted = ("--config=experiments/smoke.py", "--config.data.name=mnist", "--config.num_steps=4")
    sizes = ("--config.model.hidden_size=8", "--config.eval_batch_size=120")
    trained = command("main", *wanted, *sizes, f"--config.data.data_dir={folder}")
    result = json.loads((workdir / "result.json").read_text())
    assert result["dataset"] == "mnist"
    assert f"test accuracy {result['test_accuracy']:.4f}" in trained
    outputs = (f"--json={tmp_path / 'figures.json'}", f"--confusion={tmp_path / 'confusion.png'}")
    assert f"test accuracy {result['test_accuracy']:.4f}" in command("evaluate", *outputs)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["accuracy"] == pytest.approx(result["test_accuracy"])
    assert [*figures["classes"]] == [*"0123456789"]
    test = datasets.load(settings(folder, "mnist")).test
    Image.fromarray(test.images[5]).save(own)
    said = command("predict", "--index=5", own, "--rows", f"--json={tmp_path / 'answers.json'}")
    of_file, of_row = json.loads((tmp_path / "answers.json").read_text())
    assert of_file["probabilities"] == of_row["probabilities"]
    assert f"test image 5  (is {test.labels[5]})" in said
    report([workdir], tmp_path / "page")
    assert "<title>run on mnist</title>" in (tmp_path / "page" / "index.html").read_text()
    capsys.readouterr()


@pytest.fixture(scope="module")
def coloured(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of colour images, read by columns."""
    config = Config(num_steps=8, batch_size=32, eval_batch_size=60, eval_every_steps=8)
    config.data = settings(folder, "flags", sequence="columns")
    config.model.hidden_size = 4
    workdir = tmp_path_factory.mktemp("coloured")
    train(config, workdir)
    return read_trained(workdir)


def test_colour_images_by_columns(coloured: Trained, folder: Path, tmp_path: Path) -> None:
    dataset = datasets.load(settings(folder, "flags"))
    examples = answers.of_test_split(dataset, [3])
    (answer,) = answers.ask(coloured, examples, with_beliefs=True)
    assert answer.belief is not None
    image = dataset.test.images[3]
    np.testing.assert_array_equal(answer.belief.parts, image.swapaxes(0, 1))
    assert answer.belief.probabilities.shape == (10, 4)
    np.testing.assert_allclose(answer.belief.probabilities[-1], answer.probabilities, rtol=1e-4)
    assert answers.text(answer, COLOURS, "columns").splitlines()[-1].startswith("  column 10 |")
    assert answers.picture([answer], COLOURS).shape[-1] == 3
    report([coloured.workdir], tmp_path / "page")
    shown = (tmp_path / "page" / "index.html").read_text()
    assert 'width="10" height="12"' in shown or "told all test images right" in shown


def test_colour_models_in_other_programs(coloured: Trained, folder: Path) -> None:
    test = datasets.load(settings(folder, "flags")).test
    expected = evaluate_trained(coloured, test).predictions.probabilities
    inference = inference_of(coloured)
    jaxtyping.config.update("jaxtyping_disable", True)  # a symbol that stands for B or T is no int
    onnx, stablehlo = to_onnx(inference), to_stablehlo(inference)
    jaxtyping.config.update("jaxtyping_disable", False)
    session = onnxruntime.InferenceSession(onnx)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == [*COLOURS]
    assert json.loads(about["image_shape"]) == [12, 10, 3]
    order = np.array(json.loads(about["pixel_order"]))
    inputs: Any = test.images.reshape(len(test.images), -1)[:, order] / np.float32(255)
    lengths = np.full(len(inputs), len(order), np.int32)
    feeds = {"sequences": inputs, "lengths": lengths}
    actual = np.asarray(session.run(["probabilities"], feeds)[0])
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    archive = zipfile.ZipFile(io.BytesIO(stablehlo))
    to_sequences = export.deserialize(bytearray(archive.read("to_sequences")))
    np.testing.assert_allclose(to_sequences.call(test.images), inputs, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"of flags are 12x10x3; --format=onnx takes any"):
        to_web(inference, test, Runtime(b"", b""))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnsit", "did you mean 'mnist'"),
        ("flgs", "did you mean 'flags'"),
        ("fashionmnist", "did you mean 'fashion_mnist'"),
        ("qqqqqqq", "TFDS's sets are listed on https://"),
        ("emnist/balance", "no variant 'balance'; did you mean 'balanced'"),
        ("mnist/large", "no variant 'large'; 'mnist' has none"),
        ("mnist:9.9.9", "'mnist:9.9.9': Dataset mnist cannot be loaded at version 9.9.9"),
        ("sizes", "images of different sizes"),
        ("untested", "has no validation split, but train"),
        ("opaque", "images of 4 channels, uint8"),
        ("numbered", "no images with one label each, but image, number"),
    ],
)
def test_sets_that_cannot_be(folder: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        datasets.load(settings(folder, name))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder, with one set, to be spoilt."""
    shutil.copytree(folder / "flags", tmp_path / "flags")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "old", "new", "words"),
    [
        (
            "*-train*",
            b"\x89PNG",
            b"\x89GNP",
            "flags-train.tfrecord-00000-of-00001: .*corrupted record",
        ),
        ("dataset_info.json", b"{", b"", "dataset_info.json in "),
        ("dataset_info.json", b'"tfrecord"', b'"array_record"', "stored as array_record"),
        ("dataset_info.json", b'"200"', b'"99999999999999"', "takes at least 67,055,225.4 GiB"),
    ],
)
def test_a_set_that_is_damaged(
    copy: Path, pattern: str, old: bytes, new: bytes, words: str
) -> None:
    (file,) = copy.glob(f"flags/1.0.0/{pattern}")
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises((DataError, ConfigError), match=words):
        datasets.load(settings(copy, "flags"))


def test_neither_prepared_nor_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, f"http://127.0.0.1:{port}")
    with pytest.raises(DataError) as caught:
        datasets.load(settings(tmp_path, "kmnist"))
    for words in ("no kmnist on this machine", "--config.data.data_dir=DIR", "tfds build kmnist"):
        assert words in str(caught.value)
