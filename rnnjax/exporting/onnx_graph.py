"""A graph of ONNX under construction."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

from rnnjax.errors import ConfigError

# Opset 18, of 2022: what older runtimes read as well. Newer ones bring nothing that is needed here.
OPSET, IR_VERSION = 18, 8

Dims = Sequence[int | str]  # a string is the name of a size that is known when the model runs


class UnsupportedError(ConfigError):
    """A model does something that has no translation; `what` ends the sentence that says so."""

    def __init__(self, what: str) -> None:
        super().__init__(f"ONNX models cannot have {what}; --format=stablehlo takes any model")


class Graph:
    """Nodes in the order of their making; the body of a loop is a graph inside of another."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        self._nodes: list[NodeProto] = []
        self._root: Graph = self if outer is None else outer._root
        self._counter: Iterator[int] = itertools.count()  # the root's: names are its alone
        self._arrays: dict[str, TensorProto] = {}  # the root's: of all graphs
        self._sizes: dict[str, str] = {}  # the root's, int64 [1], by the names of `Dims`
        self._known: dict[Any, str] = {}  # the root's: equal constants and shapes are one tensor

    def name(self, stem: str) -> str:
        """Returns a name that nothing else has."""
        return f"{stem}_{next(self._root._counter)}"

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one result, whose name is returned; an input "" is left out."""
        return self.add_many(op, [self.name(op)], *inputs, **attributes)[0]

    def add_many(
        self, op: str, results: Sequence[str], *inputs: str, **attributes: Any
    ) -> Sequence[str]:
        """Adds a node whose results get these names."""
        node = helper.make_node(op, inputs, results, name=self.name(f"{op}_node"), **attributes)
        self._nodes.append(node)
        return results

    def names(self, stem: str, number: int) -> list[str]:
        """Returns names that nothing else has."""
        return [self.name(stem) for _ in range(number)]

    def array(self, value: Any, dtype: Any = None, name: str | None = None) -> str:
        """Adds a constant, which all graphs see."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if name is None and key in self._root._known:
            return self._root._known[key]
        name = self._root._known[key] = self.name("constant") if name is None else name
        self._root._arrays[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *values: int) -> str:
        """Adds a vector of int64, as ONNX wants axes, shapes and sizes."""
        return self.array(values, np.int64)

    def size(self, dim: str) -> str:
        """Returns the size that has a name, int64 `[1]`."""
        if dim not in self._root._sizes:
            raise UnsupportedError(f"an axis of {dim} elements")
        return self._root._sizes[dim]

    def scalar_size(self, dim: str, dtype: Any) -> str:
        """Returns the same as a number without axes."""
        number = self.add("Squeeze", self.size(dim), self.ints(0))
        return self.add("Cast", number, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def measure(self, name: str, tensor: str, axis: int) -> None:
        """Names a size: that of an input's axis."""
        shape = self._root.add("Shape", tensor)
        position = self.ints(axis)
        self._root._sizes[name] = self._root.add("Gather", shape, position, axis=0)

    def shape(self, dims: Dims) -> str:
        """Returns a shape as a tensor, int64."""
        root, key = self._root, tuple(dims)
        if key not in root._known:
            sizes = [root.size(d) if isinstance(d, str) else self.ints(d) for d in dims]
            root._known[key] = root.add("Concat", *sizes, axis=0)
        return root._known[key]

    def finish(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> GraphProto:
        """Returns the graph; the root's has all constants."""
        arrays = list(self._arrays.values())
        return helper.make_graph(self._nodes, name, inputs, outputs, initializer=arrays)


def value_info(name: str, dtype: Any, dims: Dims) -> ValueInfoProto:
    """Returns the type of an input or an output."""
    return make_tensor_value_info(name, np_dtype_to_tensor_dtype(np.dtype(dtype)), dims)
