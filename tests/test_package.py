"""What `import rnnjax` and `python -m rnnjax` offer."""

import ast
import importlib
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnnjax
import rnnjax.__main__ as command
import rnnjax.training.train
from rnnjax import cells, recurrent


@pytest.fixture(scope="module")
def public() -> dict[str, object]:
    """{name: value} of `from rnnjax import *`."""
    names: dict[str, object] = {}
    exec("from rnnjax import *", names)
    return {name: value for name, value in names.items() if name != "__builtins__"}


def test_public_names_are_those_of_the_library(public: dict[str, object]) -> None:
    for module in (cells, recurrent):
        for name in module.__all__:
            assert public[name] is getattr(module, name), name
    assert set(public) <= set(dir(rnnjax))


def test_type_checkers_see_the_same_names(root: Path, public: dict[str, object]) -> None:
    seen = {"__version__"}
    for node in ast.walk(ast.parse((root / "rnnjax/__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module != "typing":
            names = [alias.name for alias in node.names]
            if names == ["*"]:
                names = importlib.import_module(str(node.module)).__all__
            seen |= set(names)
    assert seen == set(public)


def test_train_is_the_function_whatever_was_imported() -> None:
    assert rnnjax.train is rnnjax.training.train.train
    assert rnnjax.unroll is recurrent.unroll


def test_a_misspelt_name_is_an_error() -> None:
    for name in ("LTSMCell", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(rnnjax, name)


def test_the_overview_names_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    for module in command.COMMANDS:
        assert f"python -m {module} " in shown
        assert importlib.util.find_spec(module) is not None


def test_an_unknown_argument_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["trian", "--fast"]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert len(error.splitlines()) == 1
    assert "'trian'" in error


def test_the_console_command_is_the_same(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"rnnjax": "rnnjax.__main__:run"}


@pytest.mark.process
@pytest.mark.parametrize("module", ["rnnjax", "rnnjax.main", "rnnjax.evaluate", "rnnjax.export"])
def test_each_says_its_version(root: Path, module: str) -> None:
    arguments = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == f"rnnjax {rnnjax.__version__}\n"
    assert not done.stderr
