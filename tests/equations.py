"""Evaluates the equations of docs/cells.md, which are LaTeX, in NumPy float64.

They may be made of symbols, sums, products of each kind, fractions, functions, cases, and vectors
or matrices side by side or one above the other.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.references.common import sigmoid
from tests.references.conv_lstm import convolve

Env = Mapping[str, Any]  # by symbol or function, as LaTeX has it
Node = Callable[[Env], Any]

SYMBOL = r"(?:\\mathrm\{\w+\}|\\tilde\{\w\}|\\(?!(?:frac|sqrt|text|begin|end|left|right)\b)[a-z]+"
SYMBOL += r"|[A-Za-z])(?:_(?:\{[^}]*\}|\\[a-z]+|\w))?"
TOKEN = re.compile(
    r"\{\}|\\text\{[^}]*\}|\\(?:begin|end)\{\w+\}|\\(?:frac|sqrt|odot|ast|bmod|ge|le|quad)(?![a-z])"
    rf"|\\[lr]Vert|\\\\|\d+(?:\.\d+)?|{SYMBOL}|\S"
)
ENDS = {")", "]", "}", ",", ";", "+", "-", "=", "&", "<", r"\\", r"\rVert", r"\ge", r"\le", ""}
INFIX: dict[str, Callable[[Any, Any], Any]] = {
    r"\odot": np.multiply,
    "/": np.divide,
    r"\ast": convolve,
    r"\bmod": np.mod,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    r"\le": np.less_equal,
    r"\ge": np.greater_equal,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    r"\sigma": sigmoid,
    r"\tanh": np.tanh,
    r"\exp": np.exp,
    r"\log": np.log,
    r"\max": np.maximum,
    r"\mathrm{relu}": lambda v: np.maximum(v, 0),
    r"\mathrm{clip}": np.clip,
    r"\mathrm{mean}": np.mean,
    r"\mathrm{var}": np.var,
}


def tokens(latex: str) -> list[str]:
    """Returns what equations are made of, without what only lays them out."""
    layout = {r"\quad", "{}", r"\begin{split}", r"\end{split}"}
    return [token for token in TOKEN.findall(latex) if token not in layout]


def equations(block: str) -> dict[str, tuple[str, ...]]:
    """Returns {left-hand side: tokens of the right-hand side} of a block of equations."""
    found: dict[str, tuple[str, ...]] = {}
    left, row, in_cases = "", [], False
    for token in [*tokens(block), r"\\"]:
        in_cases = (in_cases or token == r"\begin{cases}") and token != r"\end{cases}"
        if token == r"\\" and not in_cases:
            if "=" in row:  # otherwise it goes on with the row before
                split = row.index("=")
                left, row = "".join(row[:split]), row[split + 1 :]
            found[left] = (*found.get(left, ()), *row)
            row = []
        elif token != "&" or in_cases:
            row.append(token)
    return found


def evaluate(equations: Mapping[str, tuple[str, ...]], env: Env) -> dict[str, Any]:
    """Returns the environment with the left-hand sides of equations, one after the other."""
    env = {**FUNCTIONS, **env}
    for left, right in equations.items():
        if not left.endswith(")"):
            value = parse(right)(env)
            names = left.strip("[]").split(",") if left.startswith("[") else [left]
            env |= zip(names, np.split(value, len(names), axis=-1), strict=True)
        elif defined := re.fullmatch(rf"({SYMBOL})\((\w)\)", left):
            name, _, index = defined[1].partition("_")
            env[name] = _Function(right, defined[2], index)
    return env


class _Function:
    """A function that the page defines, such as `LN_k(a)`, of an index k and an argument a."""

    def __init__(self, body: tuple[str, ...], argument: str, index: str) -> None:
        self.body, self.argument, self.index = body, argument, index

    def __call__(self, env: Env, index: str, value: Any) -> Any:
        indexed = {
            f"{name.removesuffix(index)}{self.index}": env[name]
            for name in env
            if index and name.endswith(f"_{index}")
        }
        return parse(self.body)({**env, **indexed, self.argument: value})


@functools.cache
def parse(right: tuple[str, ...]) -> Node:
    """Returns a right-hand side as a function of what its symbols stand for."""
    parser = _Parser(right)
    node = parser.sum()
    assert parser.next == "", f"{''.join(right)}: {parser.next!r} is not understood"
    return node


class _Parser:
    """A descent through tokens; each method takes what its name says, and returns a function."""

    def __init__(self, right: tuple[str, ...]) -> None:
        self.rest = list(right)

    @property
    def next(self) -> str:
        return self.rest[0] if self.rest else ""

    def take(self, *wanted: str) -> str:
        token = self.rest.pop(0)
        assert not wanted or token in wanted, f"{token!r} instead of {wanted}"
        return token

    def sum(self) -> Node:
        node = self.product()
        while self.next in ("+", "-"):
            operation = np.add if self.take() == "+" else np.subtract
            node = _binary(operation, node, self.product())
        return node

    def product(self) -> Node:
        r"""Side by side binds closer than any sign: `a \odot x W` is `a \odot (x W)`."""
        node = self.matmul()
        while self.next in INFIX:
            node = _binary(INFIX[self.take()], node, self.matmul())
        return node

    def matmul(self) -> Node:
        node = self.factor()
        while self.next not in ENDS and self.next not in INFIX:
            node = _binary(_multiply, node, self.factor())
        return node

    def factor(self) -> Node:
        token = self.take()
        if token == "-":
            return _apply(np.negative, self.factor())
        if token == "(":
            return self.closed(self.sum(), ")")
        if token == "[":
            return self.closed(self.listed(), "]")
        if token == r"\frac":
            return _binary(np.divide, self.braced(), self.braced())
        if token == r"\sqrt":
            return _apply(np.sqrt, self.braced())
        if token == r"\lVert":
            return self.closed(_apply(_lengths_of_columns, self.sum()), r"\rVert")
        if token == r"\begin{cases}":
            return self.cases()
        if token[0].isdigit():
            return lambda env: float(token)
        return self.symbol(token)

    def closed(self, node: Node, end: str) -> Node:
        self.take(end)
        return node

    def braced(self) -> Node:
        self.take("{")
        return self.closed(self.sum(), "}")

    def listed(self) -> Node:
        parts, separator = [self.sum()], ","
        while self.next in (",", ";"):
            separator = self.take()
            parts.append(self.sum())
        axis = -1 if separator == "," else 0
        return lambda env: np.concatenate([part(env) for part in parts], axis=axis)

    def symbol(self, token: str) -> Node:
        name, _, index = token.partition("_")
        # A function binds what follows: `\log \sigma(x)`; anything else may stand before a bracket.
        if name in FUNCTIONS or name in (r"\phi", r"\psi"):
            arguments = self.arguments() if self.next == "(" else [self.factor()]
            return lambda env: env[name](*(argument(env) for argument in arguments))
        if name in ("g", r"\mathrm{LN}") and self.next == "(":
            (argument,) = self.arguments()
            return lambda env: env[name](env, index, argument(env))
        return lambda env: env[token]

    def arguments(self) -> list[Node]:
        self.take("(")
        found = [self.sum()]
        while self.next == ",":
            self.take()
            found.append(self.sum())
        self.take(")")
        return found

    def cases(self) -> Node:
        rows: list[tuple[Node, Node]] = []
        while True:
            value = self.sum()
            self.take("&")
            if self.take() == r"\text{otherwise}":
                self.take(r"\end{cases}")
                return lambda env: np.select(
                    [condition(env) for condition, _ in rows],
                    [value(env) for _, value in rows],
                    value(env),
                )
            rows.append((self.condition(), value))
            self.take(r"\\")

    def condition(self) -> Node:
        terms, holds = [self.product()], []
        while self.next in COMPARISONS:
            holds.append(COMPARISONS[self.take()])
            terms.append(self.product())
        return lambda env: functools.reduce(
            np.logical_and,
            [f(a(env), b(env)) for f, a, b in zip(holds, terms[:-1], terms[1:], strict=True)],
        )


def _binary(operation: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    return lambda env: operation(left(env), right(env))


def _apply(operation: Callable[[Any], Any], operand: Node) -> Node:
    return lambda env: operation(operand(env))


def _multiply(left: Any, right: Any) -> Any:
    return left @ right if np.ndim(right) == 2 else left * right


def _lengths_of_columns(matrix: Any) -> Any:
    return np.sqrt(np.maximum(np.sum(matrix**2, axis=0), 1e-12))
