"""The documentation is run: each block of Python and each command alone, as it stands there."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest

from rnnjax.config import Config, fields
from rnnjax.data.datasets import Dataset
from tests.image_sets import store_mnist

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/cells.md", "CONTRIBUTING.md")
# Whole runs of seconds; the settings that are not here stay those of the page.
TINY = "--config.num_steps={steps} --config.model.hidden_size=8 --config.batch_size=8"

# What each command prints, if it has done what the page says.
OUTPUT = {
    "python -m rnnjax.main": "test accuracy",
    "python -m rnnjax.compare": " first |",
    "python -m rnnjax.evaluate": "test accuracy",
    "python -m rnnjax.predict": "test image",
    "python -m rnnjax.export": "MiB",
    "python -m rnnjax.report /tmp/run": "figures as PNG files",
    "tensorboard": "last_hidden_state",
}


def blocks(page: str, language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.M)
    return [block for name, block in fences if name == language]


def is_installation(command: str) -> bool:
    """Whether `.ci/run` runs the command, in a fresh environment; this one is installed already."""
    return command.startswith(
        ("$(command -v sudo) apt-get ", "python3 -m venv ", ". .venv/bin/activate", "pip install ")
    )


def commands(block: str) -> list[str]:
    return [command for command in re.split(r"\s*&&\s*|\n", block.strip()) if command]


LIBRARY_EXAMPLE, *OTHER_PYTHON = [
    pytest.param(block, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
    if "/tmp/" not in block  # of files that a command has made: tests/test_export.py runs those
]
SHELL = [block for page in PAGES for block in blocks(page, "bash")]


def run_python(block: str) -> None:
    with jax.numpy_dtype_promotion("standard"):  # as users have it; optax needs it
        exec(block, {"__name__": "readme"})


@pytest.mark.parametrize("block", OTHER_PYTHON)
def test_python_runs_alone(block: str) -> None:
    run_python(block)


@pytest.mark.parametrize("block", [LIBRARY_EXAMPLE])
def test_the_library_example_learns(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_python(block)
    accuracies = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert accuracies[0] < 0.6
    assert accuracies[-1] > 0.99


def test_the_installation_is_the_one_that_ci_runs() -> None:
    train, tests = (commands(block) for block in SHELL if "pip install" in block)
    more = " chromium openmpi-bin slurm-wlm"
    without_extras = [c.removesuffix(more).replace("'.[test]'", ".") for c in tests[:-1]]
    assert without_extras == train[:-1]
    assert tests[-1] == "pytest"


@pytest.mark.process
def test_shell_commands_run(tmp_path: Path, data_dir: str, real: Dataset) -> None:
    """Runs every command in the order of the pages, on the folders that the ones before it left.

    A run gets tiny settings at its end; the name of a machine becomes this one's, and two processes
    one; TensorBoard lists what it would show. MNIST is garments in its place.
    """
    del real  # which prepares the data
    prepared = tmp_path / "tensorflow_datasets"
    store_mnist(prepared)
    (prepared / "fashion_mnist").symlink_to(Path(data_dir, "fashion_mnist"))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]},1,0"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TFDS_DATA_DIR": str(prepared),
    }
    steps = 0
    for command in (command for block in SHELL for command in commands(block)):
        if is_installation(command) or command == "pytest":
            continue
        line = command.replace("/tmp/", f"{tmp_path}/").replace("node1:1234,2,0", address)
        if "rnnjax.main" in line:
            steps += 2  # so that one that follows in the same folder goes on with it
            line += f" {TINY.format(steps=steps)}"
        if "rnnjax.compare" in line:
            line += f" {TINY.format(steps=2)}"
        if line.startswith("tensorboard "):
            line += " --inspect"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert OUTPUT[command.split(" --")[0]] in done.stdout, line


def test_settings_that_are_mentioned_exist() -> None:
    known = {name for name, _, _ in fields(Config())}
    sections = {name.partition(".")[0] for name in known}
    for page in (*PAGES, "benchmarks/README.md"):
        mentioned = set(re.findall(r"--config\.([a-z_.]*[a-z])", (ROOT / page).read_text()))
        mentioned = {re.sub(r"(cell_options)\..*", r"\1", name) for name in mentioned}
        assert mentioned <= known | sections, page


def test_modules_that_are_mentioned_exist() -> None:
    for page in PAGES:
        for module in re.findall(r"python -m ([\w.]*\w)", (ROOT / page).read_text()):
            assert importlib.util.find_spec(module) is not None, f"{page}: {module}"


def test_files_that_are_mentioned_exist() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"
        for path in re.findall(
            r"`((?:rnnjax|tests|benchmarks|experiments|docs|\.ci)/[^`\s]*)`", text
        ):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_the_contents_list_names_every_section() -> None:
    text = (ROOT / "README.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.M)
    anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
    assert re.findall(r"^- \[(.*?)\]\(#(.*?)\)", text, re.M) == list(
        zip(headings, anchors, strict=True)
    )


def test_the_tree_is_what_is_there() -> None:
    (tree,) = (block for block in blocks("README.md", "") if "rnnjax/\n" in block)
    named = set(re.findall(r"[\w.]+(?:/|\.py\b)", tree))
    there = {f"{folder.name}/" for folder in ROOT.rglob("*/") if ".git" not in folder.parts}
    there |= {file.name for file in (ROOT / "rnnjax").rglob("*.py")}
    assert named <= there
    assert {f"{file.parent.name}/" for file in (ROOT / "rnnjax").rglob("__init__.py")} <= named


def test_extras_that_are_mentioned_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        mentioned = set(re.findall(r"'\.\[(\w+)\]'", (ROOT / page).read_text()))
        assert mentioned <= set(project["optional-dependencies"]), page
