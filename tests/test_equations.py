"""Every equation in docs/cells.md, with every option, against the independent float64 maths."""

import ast
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax.cells import CELLS
from tests.cases import Example, assert_close, build, example, label
from tests.equations import equations, evaluate
from tests.references import CASES, REFERENCES
from tests.references.common import Case

PAGE = (Path(__file__).parents[1] / "docs" / "cells.md").read_text()
BLOCK = re.compile(r"^\$\$\n(.*?)^\$\$$", re.DOTALL | re.MULTILINE)
# {cells: what their section says}
SECTIONS = dict(re.findall(r"^### (`.*?`)\n(.*?)(?=^##)", f"{PAGE}\n##", re.DOTALL | re.MULTILINE))
DEFINITIONS = {
    left: right
    for block in BLOCK.findall(PAGE)
    for left, right in equations(block).items()
    if left.endswith("(a)") or left.endswith("(v)")
}
STATES = {"hidden": "h", "cell": "c", "normalizer": "n", "stabilizer": "m"}


def section(name: str) -> str:
    """Returns what the page says of a cell."""
    return next(text for names, text in SECTIONS.items() if f"`{name}`" in names)


def test_every_cell_has_equations() -> None:
    documented = [name for names in SECTIONS for name in re.findall(r"`(\w+)`", names)]
    assert sorted(documented) == sorted(CELLS)


def symbols(case: Case, cell: Any, params: dict[str, Any], num_inputs: int) -> dict[str, Any]:
    """Returns what the page's symbols stand for: blocks of parameters, fields of the cell."""
    env: dict[str, Any] = {
        "F": num_inputs,
        r"\phi": case.options.get("activation", np.tanh),
        r"\psi": case.options.get("output_activation", lambda v: np.maximum(v, 0)),
        r"\beta": getattr(cell, "forget_bias", None),
        r"\epsilon": getattr(cell, "epsilon", None),
        r"\alpha": getattr(cell, "leak", None),
        "r": getattr(cell, "ratio_on", None),
    }
    stored = r"`(\w+)`(?:, `[^`]*`,)?\s+\$= \[?([^$\]]*)\]?\$"
    for name, blocks in re.findall(stored, section(case.name).partition("*Parameters*")[2]):
        names = re.split(r"[,;]\s*", blocks)
        if name in params and ";" in blocks:
            env |= zip(names, cut_rows(params[name], len(names), num_inputs), strict=True)
        elif name in params:
            env |= zip(names, cut_columns(params[name], len(names), cell.features), strict=False)
        elif name.endswith("bias"):
            env |= dict.fromkeys(names, 0.0)
    return env


def cut_rows(array: Any, count: int, num_inputs: int) -> list[Any]:
    """Cuts into vectors, or a matrix below the rows of the inputs."""
    vectors = array.reshape(-1, array.shape[-1])
    return [*vectors] if len(vectors) == count else np.split(vectors, [num_inputs])


def cut_columns(array: Any, count: int, units: int) -> list[Any]:
    """Cuts into gates of H columns; what is left over is of the first, which is of two gates."""
    if count == 1:
        return [array]
    first = max(units, array.shape[-1] - units * (count - 1))
    return np.split(array, range(first, array.shape[-1], units), axis=-1)


def chosen(name: str, cell: Any, env: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Returns the equations of a section that hold for a cell's options, which may bind symbols."""
    found: dict[str, tuple[str, ...]] = {}
    text = section(name)
    for block in BLOCK.finditer(text):
        before = text[: block.start()].strip().split("\n\n")[-1]  # the paragraph above
        conditions = re.findall(r"With `(\w+)=([^`]+)`", before)
        if all(holds(option, wanted, cell, env) for option, wanted in conditions):
            found |= equations(block[1])
    for other in re.findall(r"Then as \[`(\w+)`\]", text):
        found |= chosen(other, cell, env)
    return found


def holds(option: str, wanted: str, cell: Any, env: dict[str, Any]) -> bool:
    """Whether a field of the cell has the value that the page names, or any for a new symbol."""
    value = getattr(cell, option)
    try:
        return value == ast.literal_eval(wanted)
    except ValueError:  # a symbol
        return value is not None and env.setdefault(wanted, value) == value


def step(
    case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any, **further: Any
) -> dict[str, Any]:
    """Returns what all symbols of the page stand for after a step."""
    env = symbols(case, cell, params, x.shape[-1])
    env |= {f"{letter}_{{t-1}}": carry[field] for field, letter in STATES.items() if field in carry}
    env |= {"x_t": x, **further}
    return evaluate(DEFINITIONS | chosen(case.name, cell, env), env)


def grouped(case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any) -> Any:
    """Group by group, which see nothing of each other."""
    parts = {field: np.split(leaf, cell.num_groups) for field, leaf in carry.items()}
    biases = params["bias"].reshape(4, cell.num_groups, -1)
    steps = []
    for n, x_n in enumerate(np.split(x, cell.num_groups)):
        own = {f"W_{gate}": params["kernel"][n, :, k] for k, gate in enumerate("ijfo")}
        own |= {f"b_{gate}": biases[k, n] for k, gate in enumerate("ijfo")}
        before = {field: part[n] for field, part in parts.items()}
        steps.append(step(case, cell, {}, before, x_n, **own))
    env = {name: np.concatenate([env[name] for env in steps]) for name in ("h_t", "c_t")}
    if "projection" in params:
        env["h_t"] = env["h_t"] @ params["projection"]
    return env


def over_frequency(
    case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any
) -> Any:
    """Block by block, from the lowest."""
    params = {name.replace("time", "frequency"): leaf for name, leaf in params.items()} | params
    size = cell.feature_size or len(x)
    below, steps = {"d_b": np.zeros(cell.features), "g_b": np.zeros(cell.features)}, []
    for k, (c, h) in enumerate(zip(carry["cell"], carry["hidden"], strict=True)):
        start = k * (cell.frequency_skip or size)
        block = x[start : start + size]
        env = step(case, cell, params, {"cell": c, "hidden": h}, block, **below)
        below = {"d_b": env["d_t"], "g_b": env["g_t"]}
        steps.append(env)
    together = {name: np.stack([env[name] for env in steps]) for name in ("c_t", "h_t", "y_t")}
    return together | {"y_t": together["y_t"].ravel()}


def with_heads(case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any) -> Any:
    recurrent = {}
    for k, gate in enumerate("ifzo"):
        matrix = np.zeros((cell.features, cell.features))
        size = cell.features // cell.num_heads
        for n, head in enumerate(params["recurrent_kernel"]):
            own = slice(n * size, (n + 1) * size)
            matrix[own, own] = head[:, k]
        recurrent[f"R_{gate}"] = matrix
    return step(case, cell, params, carry, x, **recurrent)


def with_window(
    case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any
) -> Any:
    params = params | {"kernel": params["kernel"].reshape(-1, params["kernel"].shape[-1])}
    return step(case, cell, params, carry, x, X_t=np.concatenate([*carry["window"], x]))


def with_time(case: Case, cell: Any, params: dict[str, Any], carry: dict[str, Any], x: Any) -> Any:
    (t,) = carry["time"]
    if cell.timestamps:
        t, x = x[0], x[1:]
    return step(case, cell, params, carry, x, t=t)


# Cells whose symbols are more than parameters, or that do their equations several times.
STEPS = {
    "glstm": grouped,
    "grid_lstm": over_frequency,
    "slstm": with_heads,
    "qrnn": with_window,
    "phased_lstm": with_time,
}


@pytest.mark.parametrize("case", CASES, ids=label)
def test_equations_are_those_of_the_cell(case: Case) -> None:
    cell = build(case, param_dtype="float64")
    with jax.enable_x64(True):
        given: Example = jax.tree.map(np.asarray, example(cell, "float64"))
    params = given.variables["params"]
    for n, x in enumerate(given.inputs[:, 0]):
        carry = {name: leaf[n] for name, leaf in given.carry._asdict().items()}
        expected, output = REFERENCES[case.name](params, carry, x, case.options)
        env = STEPS.get(case.name, step)(case, cell, params, carry, x)
        actual = {field: env[f"{letter}_t"] for field, letter in STATES.items() if field in carry}
        assert_close(env["y_t"] if "y_t" in env else env["h_t"], output)
        assert_close(actual, {field: expected[field] for field in actual})
