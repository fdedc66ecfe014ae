"""The command that predicts: it says of a picture what the evaluation says of that test image."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.data.datasets import GARMENTS, Dataset
from rnnjax.runs import workdir as workdirs
from rnnjax.training import predictions
from rnnjax.training.answers import Answer, ask, of_test_split, picture, text
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.predictions import Predictions
from rnnjax.training.task import build_task
from rnnjax.training.trained import Trained, read_trained

pytestmark = pytest.mark.process


def tiny() -> Config:
    config = Config(num_steps=2)
    config.data.name = "garments"
    config.model.cell, config.model.hidden_size = "rnn", 8
    return config


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return datasets.load(tiny().data)


@pytest.fixture(scope="module")
def evaluated(finished_run: Path, dataset: Dataset) -> Predictions:
    return evaluate_trained(read_trained(finished_run), dataset.test).predictions


def predict(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rnnjax.predict", *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_pictures_test_images_and_mistakes(
    root: Path, tmp_path: Path, finished_run: Path, dataset: Dataset, evaluated: Predictions
) -> None:
    own, out, figures = tmp_path / "own\n.png", tmp_path / "out.png", tmp_path / "out.json"
    Image.fromarray(255 - dataset.test.images[1500]).save(own)
    shown = ("--index=3", own, "--index=1999", "--wrong=2", "--rows")
    done = predict(root, f"--workdir={finished_run}", *shown, f"--out={out}", f"--json={figures}")
    assert done.returncode == 0, done.stderr
    rows = [1500, 3, 1999, *predictions.worst(evaluated, 2)]
    answers = json.loads(figures.read_text())
    for row, of_row in zip(rows, answers, strict=True):
        actual = np.array(list(of_row["probabilities"].values()))
        assert tuple(of_row["probabilities"]) == GARMENTS.class_names
        np.testing.assert_allclose(actual, evaluated.probabilities[row], rtol=1e-6)
        last = np.array(list(of_row["belief"][-1].values()))
        np.testing.assert_allclose(last, actual, rtol=1e-4)
        assert len(of_row["belief"]) == 28
    first, *lines = done.stdout.splitlines()
    assert first == "step     12  (garments)"
    heads = [line for line in lines if not line.startswith(" ")]
    names = [GARMENTS.class_names[label] for label in dataset.test.labels[rows]]
    assert heads[0] == f"{own}  (light border: inverted)".replace("\n", r"\n")
    assert heads[1:] == [
        f"test image {n}  (is {name})" for n, name in zip(rows[1:], names[1:], strict=True)
    ]
    likely = evaluated.probabilities[1500].max()
    guess = GARMENTS.class_names[evaluated.guesses[1500]]
    assert lines[1].split("  ")[1:2] + lines[1].split()[-1:] == [guess, f"{likely:.2%}"]
    assert sum(line.startswith("  row ") for line in lines) == 28 * len(rows)
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > 5 * 28 * 12


def test_files_are_written_whoever_stops_reading(
    root: Path, tmp_path: Path, finished_run: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = (f"--workdir={finished_run}", "--index=1", f"--json={tmp_path}/out")
    command = [sys.executable, "-m", "rnnjax.predict", *arguments]
    done = subprocess.run(command, cwd=root, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert len(json.loads((tmp_path / "out").read_text())) == 1


@pytest.mark.parametrize("sequence", ["columns", "permuted_pixels"])
def test_parts_are_what_the_model_reads(dataset: Dataset, sequence: str) -> None:
    config = tiny()
    config.data.sequence = sequence
    task = build_task(config)
    trained = Trained(Path(), config, task, 0, task.create_state().params)
    (of_first,) = ask(trained, of_test_split(dataset, [0]), with_beliefs=True)
    assert of_first.belief is not None
    parts, probabilities = of_first.belief
    image = dataset.test.images[0]
    if sequence == "columns":
        np.testing.assert_array_equal(parts, image.T)
    else:
        assert (np.sort(parts, axis=None) == np.sort(image, axis=None)).all()
        assert (parts != image).any()
    np.testing.assert_allclose(probabilities[-1], of_first.probabilities, rtol=1e-4)
    unit = "column" if sequence == "columns" else "part"
    assert (
        text(of_first, GARMENTS.class_names, sequence).splitlines()[-1].startswith(f"  {unit} 28 |")
    )


def test_images_side_by_side(dataset: Dataset, evaluated: Predictions) -> None:
    answers = [
        (example._replace(name="a" * 200), probabilities, None)
        for example, probabilities in zip(
            of_test_split(dataset, range(7)), evaluated.probabilities, strict=False
        )
    ]
    sheet = picture([Answer(*of_one) for of_one in answers], GARMENTS.class_names)
    height, width, _ = sheet.shape
    assert width < 5 * 28 * 3 * 3
    assert height > 2 * 28 * 3


def test_wrong_files_are_named_before_any_work(root: Path, tmp_path: Path) -> None:
    """Before it is known that there is no run."""
    good, text, out = tmp_path / "good.png", tmp_path / "text.png", tmp_path / "out.png"
    Image.new("L", (28, 28)).save(good)
    text.write_text("a boot")
    done = predict(root, "--workdir=/none", good, text, tmp_path, "/missing", f"--out={out}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(str(path) in line for path in (text, tmp_path, "/missing"))
    assert str(good) not in line
    assert sorted(tmp_path.iterdir()) == [good, text]


def test_what_makes_no_sense(root: Path, tmp_path: Path, finished_run: Path) -> None:
    good, unsaved = tmp_path / "good.png", tmp_path / "unsaved"
    Image.new("L", (28, 28)).save(good)
    content = good.read_bytes()
    unsaved.mkdir()
    same = unsaved / ".." / "good.png"
    workdirs.write_config(unsaved, tiny(), "1")
    here = f"--workdir={finished_run}"
    for arguments, words in (
        ((here,), "nothing to look at"),
        ((here, "--wrong=0"), "--wrong=0 must be at least 1"),
        ((here, "--index=2000"), "--index=2000 must be from 0 to 1999"),
        ((here, good, f"--out={same}"), f"--out={same} would replace that picture"),
        ((here, good, f"--out={tmp_path}"), f"--out={tmp_path} cannot be written: it is a folder"),
        ((here, good, "--json=/none/file"), "--json=/none/file cannot be written: No such file"),
        ((f"--workdir={unsaved}", good), "has no checkpoint; there are: none"),
    ):
        done = predict(root, *arguments)
        assert done.returncode == 2, arguments
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not done.stdout
    assert good.read_bytes() == content
