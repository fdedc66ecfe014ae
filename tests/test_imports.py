"""Who imports whom: the rooms, what each may know of the others, and that nothing reaches back."""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BASICS = "validation seeds stored_config config errors compat"
# What each room may import beside itself. A room is a folder or a module of rnnjax/.
ALLOWED = {
    "errors": "",
    "compat": "",
    "config": "",
    "seeds": "config",
    "validation": "config errors",
    "stored_config": "validation config errors",
    "cells": "compat",
    "recurrent": "cells compat",
    "interop": "recurrent cells compat",
    "pooling": "",
    "cell_options": "config errors",
    "cell_source": "cells config errors",
    "classifier": "cell_source cell_options pooling recurrent cells config errors compat",
    "system": BASICS,
    "data": f"system {BASICS}",
    "runs": f"system {BASICS}",
    "reporting": f"system {BASICS}",
    "comparing": f"training runs reporting data cell_source system rnnjax {BASICS}",
    "training": f"runs reporting data classifier cell_source recurrent cells system {BASICS}",
    "exporting": f"training data classifier cell_source pooling interop cells system rnnjax "
    f"{BASICS}",
    "main": f"training system rnnjax {BASICS}",
    "compare": f"comparing training system rnnjax {BASICS}",
    "evaluate": f"training reporting data system rnnjax {BASICS}",
    "predict": f"training reporting data system rnnjax {BASICS}",
    "export": f"exporting training data system rnnjax {BASICS}",
    "report": f"training reporting data system rnnjax {BASICS}",
    "__main__": "cell_source recurrent system cells errors rnnjax",  # of any room
    # The public names, imported when they are first used.
    "rnnjax": "cells recurrent interop config training",
}
TELLS_THE_STORY = {"rnnjax.training.train": {"rnnjax", "rnnjax.main", "rnnjax.compare"}}
HEAVY = {"tensorflow", "tensorflow_datasets", "tensorboard", "clu", "orbax", "optax"}


def modules(root: Path) -> dict[str, Path]:
    """Returns {dotted name: file} of the whole package."""
    files = sorted((root / "rnnjax").rglob("*.py"))
    dotted = {file: ".".join(file.relative_to(root).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in dotted.items()}


def room(module: str) -> str:
    """Returns the part of the package that a module is of; commands are one of their own."""
    parts = module.split(".")
    return "__main__" if parts[-1] == "__main__" else parts[min(1, len(parts) - 1)]


def imports(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yields the modules of rnnjax that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in known:
                    yield submodule
                elif node.module in known:
                    yield str(node.module)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """{module: the modules of rnnjax that it imports}."""
    known = modules(Path(__file__).parents[1])
    return {name: set(imports(file, known)) for name, file in known.items()}


def test_every_room_imports_only_what_it_may(graph: dict[str, set[str]]) -> None:
    assert {room(module) for module in graph} <= set(ALLOWED)
    wrong = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if room(other) not in {room(module), *ALLOWED[room(module)].split()}
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_module_reaches_back(graph: dict[str, set[str]]) -> None:
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_story_is_told_to_the_commands_alone(graph: dict[str, set[str]]) -> None:
    for story, listeners in TELLS_THE_STORY.items():
        assert {module for module, others in graph.items() if story in others} == listeners


@pytest.mark.process
@pytest.mark.parametrize("name", ["rnnjax.cells", "rnnjax.recurrent", "rnnjax.interop"])
def test_a_training_loop_of_ones_own_needs_jax_and_flax_only(root: Path, name: str) -> None:
    assert not loaded(root, f"import {name}") & HEAVY


@pytest.mark.process
def test_the_package_and_its_commands_load_nothing_heavy_before_they_are_asked(root: Path) -> None:
    names = ("__main__", "main", "compare", "evaluate", "predict", "export", "report", "config")
    code = "; ".join(("import rnnjax", *(f"import rnnjax.{name}" for name in names)))
    assert not loaded(root, code) & {"jax", "flax", "numpy", *HEAVY}


@pytest.mark.process
def test_commands_load_all_of_keras_only_if_somebody_wants_it(root: Path) -> None:
    code = (
        "import sys\n"
        "from rnnjax.system.command_line import loading_libraries\n"
        "with loading_libraries():\n"
        "    import rnnjax.training.train\n"
        "assert 'keras' not in sys.modules\n"
        "import keras"
    )
    assert loaded(root, code) > {"tensorflow", "clu", "keras"}


def loaded(root: Path, code: str) -> set[str]:
    """Returns the top-level modules that a process of its own has loaded after running `code`."""
    tail = "; import json, sys; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    command = [sys.executable, "-c", code + tail]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))
