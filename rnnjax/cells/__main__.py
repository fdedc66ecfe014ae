"""Lists every registered cell, or describes one and tries what every cell must hold to.

python -m rnnjax.cells [CELL]

CELL is a registered one, FILE.py:CLASS or PACKAGE.MODULE:CLASS. Exit code 2 if it does not hold.
"""

import argparse
import inspect
import math
import re
from typing import Any, NamedTuple

from rnnjax import __version__
from rnnjax.errors import ConfigError, RunError, say_where
from rnnjax.system import command_line
from rnnjax.system.messages import say
from rnnjax.system.waiting import waiting

UNITS, FEATURES = 256, 28
SIZES = f"at H={UNITS}; F={FEATURES} inputs, or an image {FEATURES} wide"
WIDTH = 6  # of an image whose cell is tried


class Sizes(NamedTuple):
    """What a cell has of arrays, by name."""

    parameters: dict[str, tuple[int, ...]]
    states: dict[str, tuple[int, ...]]

    @property
    def num_parameters(self) -> int:
        return sum(map(math.prod, self.parameters.values()))


def main() -> None:
    command_line.run(parse_arguments, lambda arguments: show(arguments.cell), is_listing=True)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.cells", description=__doc__)
    parser.add_argument("cell", nargs="?", metavar="CELL", help="without it, all are listed")
    command_line.add_common_arguments(parser, __version__)
    return parser.parse_args()


def show(name: str | None) -> None:
    """Prints the table, or what there is to say of one cell.

    Raises:
      ConfigError: if there is no such cell, or it does not hold to what every cell does.
    """
    if name is None:
        say(table())
        return
    with waiting("loading libraries"):
        from rnnjax.cell_source import cell_class
        from rnnjax.recurrent.cell_check import check_cell
    kind: Any = cell_class(name)
    problem = None
    try:
        say(describe(name, kind))
        for check in check_cell(kind(UNITS), input_shape(kind(UNITS), WIDTH)):
            problem = problem or (check.problem and f"{check.name}: {check.problem}")
            note = f" ({check.problem or check.note})" if check.problem or check.note else ""
            say(f"  {'NO' if check.problem else 'yes':4} {check.name}{note}")
    except RunError:
        raise
    except Exception as error:  # whatever a cell, which is code, may raise
        raise ConfigError(say_where(kind.__name__, error)) from error
    if problem:
        raise ConfigError(f"{name} does not hold: {problem}")


def describe(name: str, kind: type[Any]) -> str:
    """Returns what a class says of itself, its parameters and its states."""
    words = inspect.cleandoc(kind.__doc__ or "")
    if kind.__doc__ is None or words.startswith(f"{kind.__name__}("):  # a dataclass's own
        words = ""
    body = re.sub(r"\.\. code-block:: text\n\n", "", words).partition("\nAttributes")[0].strip()
    of = sizes(kind)
    lines = [name, "", *body.splitlines(), ""] if body else [name, ""]
    lines += [f"{of.num_parameters:,} parameters {SIZES}:"]
    lines += [f"  {leaf} {_shape(shape)}" for leaf, shape in of.parameters.items()]
    lines += ["States:", *(f"  {leaf} {_shape(shape)}" for leaf, shape in of.states.items())]
    return "\n".join([*lines, "Does it hold to what every cell does?"])


def table() -> str:
    """Returns a line for each cell, below a heading."""
    from rnnjax.cells import CELLS

    title = f"Parameters and states {SIZES}."
    rows = [("cell", "parameters", "states", "source"), *map(row, CELLS)]
    widths = [max(len(line[n]) for line in rows) for n in range(3)]
    lines = [
        f"{name:{widths[0]}}  {size:>{widths[1]}}  {states:{widths[2]}}  {source}"
        for name, size, states, source in rows
    ]
    return "\n".join((title, "", *lines))


def row(name: str) -> tuple[str, str, str, str]:
    """Returns a cell's name, number of parameters, states and source."""
    from rnnjax.cells import CELLS

    of = sizes(CELLS[name])
    states = ", ".join(f"{field} {_shape(shape)}" for field, shape in of.states.items())
    return name, f"{of.num_parameters:,}", states, CELLS[name].source


def sizes(kind: type[Any]) -> Sizes:
    """Returns the shapes of a cell's arrays, of shapes alone: no device is started."""
    import jax
    import jax.numpy as jnp

    cell = kind(UNITS)
    shape = input_shape(cell, FEATURES)

    def init() -> tuple[Any, Any]:
        key, inputs = jax.random.key(0), jnp.ones(shape)
        carry = cell.initialize_carry(key, shape)
        return carry, cell.init(key, carry, inputs)

    carry, variables = jax.eval_shape(init)

    def named(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {
            jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape
            for path, leaf in leaves
        }

    return Sizes(named(variables.get("params", {})), named(carry))


def input_shape(cell: Any, width: int) -> tuple[int, ...]:
    """Returns `[F]`, or for a cell with space axes an image as wide, with one channel."""
    axes = cell.num_feature_axes - 1
    return (*[width] * axes, 1) if axes else (FEATURES,)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


if __name__ == "__main__":
    main()
