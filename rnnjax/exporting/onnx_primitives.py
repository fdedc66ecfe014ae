"""What JAX's primitives are in ONNX: those that the registered cells need, and their like.

A translation is given the graph, the equation and the names of its operands, and returns the name
of its result, or several. A primitive that has none is refused by its name.
"""

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.helper import np_dtype_to_tensor_dtype

from rnnjax.exporting.onnx_graph import Graph, UnsupportedError

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


def dims_of(shape: Sequence[Any]) -> list[int | str]:
    """Returns a shape of JAX's; a symbol in it becomes its name."""
    return [str(size) if hasattr(size, "_get_vars") else int(size) for size in shape]


def _shape_of(variable: Any) -> list[int | str]:
    return dims_of(variable.aval.shape)


def _number(graph: Graph, eqn: Any, value: float) -> str:
    """Returns a constant in the dtype of an equation's first operand."""
    return graph.array(value, eqn.invars[0].aval.dtype)


def _cast(graph: Graph, x: str, dtype: Any) -> str:
    return graph.add("Cast", x, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _convert(graph: Graph, eqn: Any, x: str) -> str:
    dtype = eqn.params["new_dtype"]
    return x if dtype == eqn.invars[0].aval.dtype else _cast(graph, x, dtype)


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


def _broadcast_in_dim(graph: Graph, eqn: Any, x: str) -> str:
    wanted = dims_of(eqn.params["shape"])
    places = [int(place) for place in eqn.params["broadcast_dimensions"]]
    shape: list[int | str] = [1] * len(wanted)
    for place, size in zip(places, _shape_of(eqn.invars[0]), strict=True):
        shape[place] = size
    if added := [n for n in range(len(wanted)) if n not in places]:
        x = graph.add("Unsqueeze", x, graph.ints(*added))
    return x if shape == wanted else graph.add("Expand", x, graph.shape(wanted))


def _reshape(graph: Graph, eqn: Any, x: str) -> str:
    wanted = dims_of(eqn.params["new_sizes"])
    if 0 not in wanted and sum(isinstance(size, str) for size in wanted) == 1:
        sizes = (-1 if isinstance(size, str) else size for size in wanted)  # it follows
        return graph.add("Reshape", x, graph.ints(*sizes))
    return graph.add("Reshape", x, graph.shape(wanted), allowzero=1)


def _squeeze(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Squeeze", x, graph.ints(*eqn.params["dimensions"]))


def _transpose(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Transpose", x, perm=[int(axis) for axis in eqn.params["permutation"]])


def _concatenate(graph: Graph, eqn: Any, *operands: str) -> str:
    return graph.add("Concat", *operands, axis=eqn.params["dimension"])


def _stack(graph: Graph, eqn: Any, *operands: str) -> str:
    axis = eqn.params["axis"]
    expanded = [graph.add("Unsqueeze", x, graph.ints(axis)) for x in operands]
    return graph.add("Concat", *expanded, axis=axis)


def _split(graph: Graph, eqn: Any, x: str) -> Sequence[str]:
    sizes, results = eqn.params["sizes"], graph.names("Split", len(eqn.outvars))
    return graph.add_many("Split", results, x, graph.ints(*sizes), axis=eqn.params["axis"])


def _slice(graph: Graph, eqn: Any, x: str) -> str:
    starts, limits = (dims_of(eqn.params[f"{end}_indices"]) for end in ("start", "limit"))
    strides = eqn.params["strides"] or [1] * len(starts)
    whole = [(0, size, 1) for size in _shape_of(eqn.invars[0])]
    parts = list(zip(starts, limits, strides, strict=True))
    axes = [axis for axis, part in enumerate(parts) if part != whole[axis]]
    if not axes:
        return x
    starts, limits, strides = zip(*(parts[axis] for axis in axes), strict=True)
    bounds = (graph.shape(starts), graph.shape(limits), graph.ints(*axes), graph.ints(*strides))
    return graph.add("Slice", x, *bounds)


def _gather(graph: Graph, eqn: Any, x: str, start: str) -> str:
    """Of all that a gather can be, a slice: what JAX makes of one where a size is a symbol."""
    numbers, sizes = eqn.params["dimension_numbers"], dims_of(eqn.params["slice_sizes"])
    axes, rank = numbers.start_index_map, len(eqn.outvars[0].aval.shape)
    others = [n for n, size in enumerate(_shape_of(eqn.invars[0])) if size != sizes[n]]
    if len(eqn.invars[1].aval.shape) != 1 or numbers.offset_dims != (*range(rank),):
        raise UnsupportedError("JAX's primitive 'gather' of more than a slice")
    if not {*others} <= {*axes}:
        raise UnsupportedError("JAX's primitive 'gather' of parts of an axis")
    start = _cast(graph, start, np.int64)
    limit = graph.add("Add", start, graph.shape([sizes[axis] for axis in axes]))
    x = graph.add("Slice", x, start, limit, graph.ints(*axes))
    dropped = numbers.collapsed_slice_dims
    return graph.add("Squeeze", x, graph.ints(*dropped)) if dropped else x


def _pad(graph: Graph, eqn: Any, x: str, value: str) -> str:
    if any(any(map(int, amounts)) for amounts in eqn.params["padding_config"]):
        raise UnsupportedError("JAX's primitive 'pad'")
    return x


def _iota(graph: Graph, eqn: Any) -> str:
    wanted, axis = dims_of(eqn.params["shape"]), int(eqn.params["dimension"])
    dtype, size = eqn.params["dtype"], wanted[axis]
    is_known = isinstance(size, int)
    limit = graph.array(size, dtype) if is_known else graph.scalar_size(size, dtype)
    x = graph.add("Range", graph.array(0, dtype), limit, graph.array(1, dtype))
    if len(wanted) == 1:
        return x
    x = graph.add("Unsqueeze", x, graph.ints(*(n for n in range(len(wanted)) if n != axis)))
    return graph.add("Expand", x, graph.shape(wanted))


def _dim_as_value(graph: Graph, eqn: Any) -> str:
    return graph.scalar_size(str(eqn.params["dim"]), eqn.outvars[0].aval.dtype)


def _reduce(op: str) -> Callable[..., str]:
    def reduce(graph: Graph, eqn: Any, x: str) -> str:
        return graph.add(op, x, graph.ints(*eqn.params["axes"]), keepdims=0)

    return reduce


def _reduce_or(graph: Graph, eqn: Any, x: str) -> str:
    reduced = _reduce("ReduceMax")(graph, eqn, _cast(graph, x, np.int32))
    return _cast(graph, reduced, bool)


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
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "dim_as_value": _dim_as_value,
    "dot_general": _dot_general,
    "expm1": _expm1,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "log1p": _log1p,
    "ne": _ne,
    "pad": _pad,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _reduce_or,
    "reduce_sum": _reduce("ReduceSum"),
    "rem": _rem,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "select_n": _select_n,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
