"""What JAX's primitives are in ONNX: those that the registered cells need, and their like.

A translation is given the graph, the equation and the names of its operands, and returns the name
of its result, or several. A primitive that has none is refused by its name.
"""

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnjax.exporting import onnx_shapes
from rnnjax.exporting.onnx_graph import Graph, UnsupportedError
from rnnjax.exporting.onnx_shapes import cast

# The same operation, by ONNX's name.
SAME = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "sub": "Sub",
    "tanh": "Tanh",
}


def translate_primitive(graph: Graph, eqn: Any, operands: Sequence[str]) -> Sequence[str]:
    """Adds what an equation of a jaxpr computes; returns the names of its results.

    Raises:
      UnsupportedError: for a primitive that has no translation, or not with these parameters.
    """
    name = eqn.primitive.name
    if name in SAME:
        return [graph.add(SAME[name], *operands)]
    if name not in TRANSLATIONS:
        raise UnsupportedError(f"JAX's primitive {name!r}")
    results = TRANSLATIONS[name](graph, eqn, *operands)
    return [results] if isinstance(results, str) else results


def _number(graph: Graph, eqn: Any, value: float) -> str:
    """Returns a constant in the dtype of an equation's first operand."""
    return graph.array(value, eqn.invars[0].aval.dtype)


def _convert(graph: Graph, eqn: Any, x: str) -> str:
    dtype = eqn.params["new_dtype"]
    return x if dtype == eqn.invars[0].aval.dtype else cast(graph, x, dtype)


def _square(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Mul", x, x)


def _integer_pow(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Pow", x, _number(graph, eqn, eqn.params["y"]))


def _rsqrt(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", x))


def _log1p(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Log", graph.add("Add", x, _number(graph, eqn, 1)))


def _expm1(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Sub", graph.add("Exp", x), _number(graph, eqn, 1))


def _rem(graph: Graph, eqn: Any, x: str, y: str) -> str:
    return graph.add("Mod", x, y, fmod=1)  # the result has the sign of x, as in C


def _ne(graph: Graph, eqn: Any, x: str, y: str) -> str:
    return graph.add("Not", graph.add("Equal", x, y))


def _select_n(graph: Graph, eqn: Any, which: str, *cases: str) -> str:
    if eqn.invars[0].aval.dtype != bool:
        raise UnsupportedError("JAX's primitive 'select_n' of more than two cases")
    return graph.add("Where", which, cases[1], cases[0])


def _reduce(op: str) -> Callable[..., str]:
    def reduce(graph: Graph, eqn: Any, x: str) -> str:
        return graph.add(op, x, graph.ints(*eqn.params["axes"]), keepdims=0)

    return reduce


def _reduce_or(graph: Graph, eqn: Any, x: str) -> str:
    reduced = _reduce("ReduceMax")(graph, eqn, cast(graph, x, np.int32))
    return cast(graph, reduced, bool)


def _dot_general(graph: Graph, eqn: Any, x: str, y: str) -> str:
    contracted, batch = eqn.params["dimension_numbers"]
    ranks = [len(variable.aval.shape) for variable in eqn.invars]
    if ranks == [2, 2] and [tuple(axes) for axes in (*contracted, *batch)] == [(1,), (0,), (), ()]:
        return graph.add("MatMul", x, y)
    of_x = list(string.ascii_lowercase[: ranks[0]])
    of_y = list(string.ascii_uppercase[: ranks[1]])
    for axes in (contracted, batch):
        for m, n in zip(*axes, strict=True):
            of_y[n] = of_x[m]
    shared = [of_x[axis] for axis in batch[0]]
    free = [a for a in of_x if a not in of_y] + [a for a in of_y if a not in of_x]
    equation = f"{''.join(of_x)},{''.join(of_y)}->{''.join(shared + free)}"
    return graph.add("Einsum", x, y, equation=equation)


def _convolution(graph: Graph, eqn: Any, x: str, kernel: str) -> str:
    params = eqn.params
    numbers, low_high = params["dimension_numbers"], params["padding"]
    if any(step != 1 for step in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise UnsupportedError("JAX's primitive 'conv_general_dilated' with dilated inputs")
    result = graph.add(
        "Conv",
        graph.add("Transpose", x, perm=numbers.lhs_spec),
        graph.add("Transpose", kernel, perm=numbers.rhs_spec),
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
        pads=[int(low) for low, _ in low_high] + [int(high) for _, high in low_high],
    )
    return graph.add("Transpose", result, perm=[int(n) for n in np.argsort(numbers.out_spec)])


TRANSLATIONS: dict[str, Callable[..., str | Sequence[str]]] = {
    "broadcast_in_dim": onnx_shapes.broadcast_in_dim,
    "concatenate": onnx_shapes.concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "dim_as_value": onnx_shapes.dim_as_value,
    "dot_general": _dot_general,
    "expm1": _expm1,
    "gather": onnx_shapes.gather,
    "integer_pow": _integer_pow,
    "iota": onnx_shapes.iota,
    "log1p": _log1p,
    "ne": _ne,
    "pad": onnx_shapes.pad,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _reduce_or,
    "reduce_sum": _reduce("ReduceSum"),
    "rem": _rem,
    "reshape": onnx_shapes.reshape,
    "rsqrt": _rsqrt,
    "select_n": _select_n,
    "slice": onnx_shapes.slice,
    "split": onnx_shapes.split,
    "square": _square,
    "squeeze": onnx_shapes.squeeze,
    "stack": onnx_shapes.stack,
    "transpose": onnx_shapes.transpose,
    "unstack": onnx_shapes.unstack,  # of JAX 0.12
}
