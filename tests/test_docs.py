"""The pages of docs/: that nothing is missing there, and that nothing is there that is not so.

`.ci/run` makes them; Sphinx then says which links lead nowhere, and runs the code in them.
"""

import importlib.util
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import rnnjax
from rnnjax.__main__ import COMMANDS
from rnnjax.config import Config, fields
from rnnjax.runs.workdir import FREE_ON_RESUME

ROOT = Path(__file__).parents[1]
PAGES = {page.stem: page.read_text() for page in (ROOT / "docs").glob("*.md")}
SHELL = [
    (name, command)
    for name, text in PAGES.items()
    for block in re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for command in block.replace("\\\n", "").splitlines()
]


@pytest.fixture(scope="module")
def generated() -> dict[str, Any]:
    """What makes the parts of pages that are not written by hand."""
    return runpy.run_path(str(ROOT / "docs" / "generated.py"))


@pytest.fixture(scope="module")
def help_texts(generated: dict[str, Any]) -> dict[str, str]:
    """What each command prints with `--help`."""
    return {module: generated["help_of"](module) for module in COMMANDS}


def test_every_page_is_in_the_contents() -> None:
    contents = re.findall(r"^(\w+)$", PAGES["index"], re.MULTILINE)
    assert {"index", *contents} == PAGES.keys()


def test_every_public_name_is_in_the_api() -> None:
    documented = re.findall(r"^\.\. auto\w+:: (\S+)|^\.\. data:: (\S+)", PAGES["api"], re.MULTILINE)
    names = {name.removeprefix("rnnjax.") for pair in documented for name in pair}
    public: dict[str, Any] = {}
    exec("from rnnjax import *", public)
    assert public.keys() - {"__builtins__"} <= names


def test_every_setting_is_in_the_table(generated: dict[str, Any]) -> None:
    assert "{{ settings }}" in PAGES["commands"]
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (.*) \|$", generated["settings"](), re.MULTILINE)
    assert [name for name, _ in rows] == [name for name, _, _ in fields(Config())]
    assert {name for name, free in rows if free == "yes"} == {*FREE_ON_RESUME}


@pytest.mark.process
def test_every_command_is_shown_with_its_options(
    generated: dict[str, Any], help_texts: dict[str, str]
) -> None:
    assert "{{ commands }}" in PAGES["commands"]
    section = generated["commands"]()
    for module, text in help_texts.items():
        assert f"## {module}\n" in section
        assert text in section
        assert str(ROOT) not in text
    assert "--distributed" in help_texts["rnnjax.main"]
    assert "--config.seed" not in help_texts["rnnjax.main"]  # the table has the settings
    assert "--confusion" in help_texts["rnnjax.evaluate"]


@pytest.mark.process
def test_commands_and_options_that_are_mentioned_exist(help_texts: dict[str, str]) -> None:
    settings = {name for name, _, _ in fields(Config())}
    for page, command in SHELL:
        for module, arguments in re.findall(r"python -m ([\w.]*\w)(.*)", command):
            assert importlib.util.find_spec(module) is not None, f"{page}: {command}"
            for option in re.findall(r"--(?!config\.)([a-z]+)", arguments):
                assert f"--{option}" in help_texts[module], f"{page}: --{option}"
            for file in re.findall(r"--config (\S+)", arguments):
                assert (ROOT / file).is_file(), f"{page}: {file}"
    for page, text in PAGES.items():
        assert {*re.findall(r"python -m (rnnjax\.\w+)", text)} <= COMMANDS.keys(), page
        mentioned = {*re.findall(r"--config\.([a-z_.]*[a-z])", text)}
        assert {m for m in mentioned if not m.startswith("model.cell_options.")} <= settings, page


def test_settings_in_prose_exist() -> None:
    names = {name for name, _, _ in fields(Config())}
    sections = {name.partition(".")[0] for name in names if "." in name}
    for page, text in PAGES.items():
        dotted = re.findall(r"`(\w+)\.(\w+)`", text)
        wrong = [f"{a}.{b}" for a, b in dotted if a in sections and f"{a}.{b}" not in names]
        assert not wrong, page


def test_what_is_taken_from_other_pages_is_there() -> None:
    for page, text in PAGES.items():
        for file, options in re.findall(
            r"```\{(?:literal)?include\} (\S+)\n(.*?)```", text, re.DOTALL
        ):
            source = (ROOT / "docs" / file).read_text()
            for mark in re.findall(r':(?:start-after|end-before): "(.*)"', options):
                assert f"\n{mark}\n" in source, f"{page}: {mark}"


def test_files_that_are_mentioned_exist() -> None:
    for page, text in PAGES.items():
        for path in re.findall(r"`((?:rnnjax|tests|benchmarks|experiments|docs)/[^`\s]*)`", text):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_figures_of_all_cells_are_there() -> None:
    costs = re.findall(r"^\| `(\w+)`.*\| \d+ \| \d+\.\d\d \|$", PAGES["cells"], re.MULTILINE)
    assert costs == [*rnnjax.CELLS]
    readme = (ROOT / "README.md").read_text()
    accuracies = re.findall(r"^\| `(\w+)\S*` \| 0\.\d+ \| 0\.\d{4} ± ", readme, re.MULTILINE)
    assert {*accuracies} == {*rnnjax.CELLS}
