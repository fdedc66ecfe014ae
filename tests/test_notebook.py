"""The notebook for Colab runs from an empty folder, as it stands but for what makes it short."""

import ast
import contextlib
import json
import os
import re
import runpy
import signal
import socket
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from rnnjax.data.datasets import Dataset

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"
PATIENCE = 1200.0  # seconds for anything that takes less than one minute on a quiet machine

# A run of seconds in the place of minutes; each of these stands in the notebook once.
SHORTER = {
    "STEPS = 500": "STEPS = 4",
    "SEEDS = 3": "SEEDS = 2",
    "import Config\n": "import Config, ModelConfig\n",
    "return Config()": "return Config(batch_size=8, model=ModelConfig(hidden_size=8))",
}
RUNS = {"lstm/train", "lstm/test", "leaky/train", "leaky/test"}  # that TensorBoard shows


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def cell_with(notebook: NotebookNode, text: str) -> NotebookNode:
    """Returns the only cell that says something."""
    (cell,) = (cell for cell in notebook.cells if text in cell.source)
    return cell


def test_the_twin_has_the_same_cells(notebook: NotebookNode) -> None:
    twin = jupytext.read(NOTEBOOK.with_suffix(".md"))
    cells, twins = (
        [(cell.cell_type, cell.source, cell.metadata) for cell in one.cells]
        for one in (notebook, twin)
    )
    assert cells == twins, "jupytext --sync notebooks/colab.ipynb makes them equal"


def test_nothing_of_a_run_is_stored_in_it(notebook: NotebookNode) -> None:
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_the_badge_opens_the_notebook_of_the_repository_that_is_installed(
    notebook: NotebookNode,
) -> None:
    address = r"https://github\.com/([\w.-]+/[\w.-]+)"
    (repository,) = re.findall(rf'^REPOSITORY = "{address}"$', notebook.cells[1].source, re.M)
    colab = "https://colab.research.google.com"
    assert (
        f"({colab}/assets/colab-badge.svg)]({colab}/github/{repository}/blob/main/"
        f"{NOTEBOOK.relative_to(ROOT)})"
    ) in notebook.cells[0].source


def test_what_is_installed_has_such_extras(notebook: NotebookNode) -> None:
    source = cell_with(notebook, "%pip install").source
    (builds,) = re.findall(r"builds = (\{.*\})", source)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"report", *ast.literal_eval(builds).values()} <= {*project["optional-dependencies"]}


def test_its_experiment_is_the_one_of_the_repository(
    notebook: NotebookNode, tmp_path: Path
) -> None:
    magic, _, code = cell_with(notebook, "def get_config").source.partition("\n")
    assert magic == "%%writefile lstm.py"
    (tmp_path / "lstm.py").write_text(code)
    own, ours = (
        runpy.run_path(str(folder / "lstm.py"))["get_config"]()
        for folder in (tmp_path, ROOT / "experiments")
    )
    assert own == ours


def shorten(notebook: NotebookNode) -> None:
    for old, new in SHORTER.items():
        cell = cell_with(notebook, old)
        cell.source = cell.source.replace(old, new)


@contextlib.contextmanager
def tensorboard_of(temporary: Path) -> Iterator[str]:
    """Gives the address of the TensorBoard that the notebook has started, and stops it."""
    # It is written when TensorBoard listens, which is after its cell has ended if that is slow.
    wait(lambda: [*temporary.glob(".tensorboard-info/*.info")])
    (file,) = temporary.glob(".tensorboard-info/*.info")
    server = json.loads(file.read_text())
    try:
        yield f"http://localhost:{server['port']}"
    finally:
        os.kill(server["pid"], signal.SIGTERM)
        wait(lambda: not file.exists() and not listens(server["port"]))


def wait(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def runs_shown(address: str) -> set[str]:
    with urllib.request.urlopen(f"{address}/data/runs") as response:
        return {*json.load(response)}


def printed(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures(cell: NotebookNode) -> list[str]:
    data = [output.data for output in cell.outputs if "data" in output]
    return [mime["image/png"] for mime in data if "image/png" in mime]


@pytest.mark.process
def test_it_runs_from_an_empty_folder(
    notebook: NotebookNode, tmp_path: Path, data_dir: str, real: Dataset
) -> None:
    del real  # which prepares the data
    shorten(notebook)
    folder, temporary = tmp_path / "content", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    environment = {name: v for name, v in os.environ.items() if not name.startswith("JAX_")}
    environment |= {
        "JAX_PLATFORMS": "cpu",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TFDS_DATA_DIR": data_dir,
        "TMPDIR": str(temporary),  # where TensorBoard says that it runs
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    client = NotebookClient(
        notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}
    )
    with client.setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        with tensorboard_of(temporary) as address:
            wait(lambda: runs_shown(address) == RUNS)  # it looks for new ones every 5 seconds

    everything = "".join(printed(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert "rnnjax: " not in everything  # how complaints begin
    assert printed(cell_with(notebook, "jax.device_count()")) == "1 x cpu\r\n"
    for workdir in ("runs/lstm", "runs/leaky"):
        trained = printed(cell_with(notebook, f"rnnjax.main --workdir {workdir}"))
        assert re.search(r"test accuracy 0\.\d{4}, .* after 4 steps", trained)
        assert "\x1b" not in trained
    compared = printed(cell_with(notebook, "rnnjax.compare"))
    variants = re.findall(r"^\| `(\S+)` .* 2 \| +0\.\d{4} ± ", compared, re.M)
    assert {*variants} == {"lstm", "my_cell.py:LeakyCell"}
    answer = printed(cell_with(notebook, "rnnjax.predict"))
    assert re.search(r"^  \S.* \d+\.\d\d%", answer, re.M)  # a class
    assert "row 28" in answer
    shown = [cell_with(notebook, f'Image("{name}') for name in ("comparison/", "picture", "answer")]
    assert all(len(pictures(cell)) == 1 for cell in shown)
