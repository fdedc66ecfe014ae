"""What JAX's primitives that lay out arrays anew are in ONNX; more in `onnx_primitives`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import export
from onnx.helper import np_dtype_to_tensor_dtype

from rnnjax.exporting.onnx_graph import Graph, UnsupportedError


def dims_of(shape: Sequence[Any]) -> list[int | str]:
    """Returns a shape of JAX's; a symbol in it becomes its name."""
    return [str(size) if export.is_symbolic_dim(size) else int(size) for size in shape]


def shape_of(variable: Any) -> list[int | str]:
    return dims_of(variable.aval.shape)


def cast(graph: Graph, x: str, dtype: Any) -> str:
    return graph.add("Cast", x, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))


def broadcast_in_dim(graph: Graph, eqn: Any, x: str) -> str:
    wanted = dims_of(eqn.params["shape"])
    places = [int(place) for place in eqn.params["broadcast_dimensions"]]
    shape: list[int | str] = [1] * len(wanted)
    for place, size in zip(places, shape_of(eqn.invars[0]), strict=True):
        shape[place] = size
    if added := [n for n in range(len(wanted)) if n not in places]:
        x = graph.add("Unsqueeze", x, graph.ints(*added))
    return x if shape == wanted else graph.add("Expand", x, graph.shape(wanted))


def reshape(graph: Graph, eqn: Any, x: str) -> str:
    wanted = dims_of(eqn.params["new_sizes"])
    if 0 not in wanted and sum(isinstance(size, str) for size in wanted) == 1:
        sizes = (-1 if isinstance(size, str) else size for size in wanted)  # it follows
        return graph.add("Reshape", x, graph.ints(*sizes))
    return graph.add("Reshape", x, graph.shape(wanted), allowzero=1)


def squeeze(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Squeeze", x, graph.ints(*eqn.params["dimensions"]))


def transpose(graph: Graph, eqn: Any, x: str) -> str:
    return graph.add("Transpose", x, perm=[int(axis) for axis in eqn.params["permutation"]])


def concatenate(graph: Graph, eqn: Any, *operands: str) -> str:
    return graph.add("Concat", *operands, axis=eqn.params["dimension"])


def stack(graph: Graph, eqn: Any, *operands: str) -> str:
    axis = eqn.params["axis"]
    expanded = [graph.add("Unsqueeze", x, graph.ints(axis)) for x in operands]
    return graph.add("Concat", *expanded, axis=axis)


def split(graph: Graph, eqn: Any, x: str) -> Sequence[str]:
    sizes, results = eqn.params["sizes"], graph.names("Split", len(eqn.outvars))
    return graph.add_many("Split", results, x, graph.ints(*sizes), axis=eqn.params["axis"])


def unstack(graph: Graph, eqn: Any, x: str) -> list[str]:
    axis, results = eqn.params["axis"], graph.names("Split", len(eqn.outvars))
    graph.add_many("Split", results, x, graph.ints(*[1] * len(results)), axis=axis)
    return [graph.add("Squeeze", result, graph.ints(axis)) for result in results]


def slice(graph: Graph, eqn: Any, x: str) -> str:
    starts, limits = (dims_of(eqn.params[f"{end}_indices"]) for end in ("start", "limit"))
    strides = eqn.params["strides"] or [1] * len(starts)
    whole = [(0, size, 1) for size in shape_of(eqn.invars[0])]
    parts = list(zip(starts, limits, strides, strict=True))
    axes = [axis for axis, part in enumerate(parts) if part != whole[axis]]
    if not axes:
        return x
    starts, limits, strides = zip(*(parts[axis] for axis in axes), strict=True)
    bounds = (graph.shape(starts), graph.shape(limits), graph.ints(*axes), graph.ints(*strides))
    return graph.add("Slice", x, *bounds)


def gather(graph: Graph, eqn: Any, x: str, start: str) -> str:
    """Of all that a gather can be, a slice: what JAX makes of one where a size is a symbol."""
    numbers, sizes = eqn.params["dimension_numbers"], dims_of(eqn.params["slice_sizes"])
    axes, rank = numbers.start_index_map, len(eqn.outvars[0].aval.shape)
    others = [n for n, size in enumerate(shape_of(eqn.invars[0])) if size != sizes[n]]
    if len(eqn.invars[1].aval.shape) != 1 or numbers.offset_dims != (*range(rank),):
        raise UnsupportedError("JAX's primitive 'gather' of more than a slice")
    if not {*others} <= {*axes}:
        raise UnsupportedError("JAX's primitive 'gather' of parts of an axis")
    start = cast(graph, start, np.int64)
    limit = graph.add("Add", start, graph.shape([sizes[axis] for axis in axes]))
    x = graph.add("Slice", x, start, limit, graph.ints(*axes))
    dropped = numbers.collapsed_slice_dims
    return graph.add("Squeeze", x, graph.ints(*dropped)) if dropped else x


def pad(graph: Graph, eqn: Any, x: str, value: str) -> str:
    before, after, between = zip(*eqn.params["padding_config"], strict=True)
    if any(between):
        raise UnsupportedError("JAX's primitive 'pad' between elements")
    if not any((*before, *after)):
        return x
    return graph.add("Pad", x, graph.ints(*map(int, (*before, *after))), value)


def iota(graph: Graph, eqn: Any) -> str:
    wanted, axis = dims_of(eqn.params["shape"]), int(eqn.params["dimension"])
    dtype, size = eqn.params["dtype"], wanted[axis]
    is_known = isinstance(size, int)
    limit = graph.array(size, dtype) if is_known else graph.scalar_size(size, dtype)
    x = graph.add("Range", graph.array(0, dtype), limit, graph.array(1, dtype))
    if len(wanted) == 1:
        return x
    x = graph.add("Unsqueeze", x, graph.ints(*(n for n in range(len(wanted)) if n != axis)))
    return graph.add("Expand", x, graph.shape(wanted))


def dim_as_value(graph: Graph, eqn: Any) -> str:
    return graph.scalar_size(str(eqn.params["dim"]), eqn.outvars[0].aval.dtype)
