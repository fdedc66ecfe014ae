"""What the sources promise: files and functions can be read, tests say what they start."""

import ast
from pathlib import Path

MOST_LINES_OF_A_FILE = 250
MOST_LINES_OF_A_FUNCTION = 60
REASON = "Long because"  # starts a line of the docstring of a function, or of a file

STARTS_PROCESSES = {"subprocess", "multiprocessing", "tests.faults.process", "tests.faults.bench"}


def has_reason(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Module) -> bool:
    lines = (ast.get_docstring(node) or "").splitlines()
    return any(line.startswith(REASON) for line in lines)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Counts a function's lines without its docstring, which may explain many arguments."""
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    documented = docstring.end_lineno - docstring.lineno + 1 if docstring else 0  # pyright: ignore[reportOptionalOperand]
    return function.end_lineno - function.lineno + 1 - documented  # pyright: ignore[reportOptionalOperand]


def test_no_file_is_long_without_a_reason(root: Path) -> None:
    long = {}
    for folder in ("rnnjax", "tests", "benchmarks", "experiments", "examples"):
        for file in (root / folder).rglob("*.py"):
            source = file.read_text()
            count = len(source.splitlines())
            if count > MOST_LINES_OF_A_FILE and not has_reason(ast.parse(source)):
                long[str(file.relative_to(root))] = count
    assert not long


def test_nothing_is_unpickled_or_executed(root: Path) -> None:
    """Whatever comes from a file or over the network is data, but the file of a user's own cell."""
    refused = []
    for file in {*(root / "rnnjax").rglob("*.py")} - {root / "rnnjax" / "cell_source.py"}:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id]
            if {*names} & {"pickle", "cPickle", "dill", "marshal", "shelve", "eval", "exec"}:
                refused.append(f"{file}: {names}")
    assert not refused


def test_no_function_is_long_without_a_reason(root: Path) -> None:
    long = {}
    for file in (root / "rnnjax").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = lines_of(node)
                if count > MOST_LINES_OF_A_FUNCTION and not has_reason(node):
                    long[f"{file.relative_to(root)}:{node.lineno} {node.name}"] = count
    assert not long


def test_tests_that_start_processes_are_marked(root: Path) -> None:
    unmarked = []
    for file in (root / "tests").rglob("test_*.py"):
        tree = ast.parse(file.read_text())
        imported = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        marks = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if imported & STARTS_PROCESSES and "pytest.mark.process" not in marks:
            unmarked.append(str(file.relative_to(root)))
    assert not unmarked
