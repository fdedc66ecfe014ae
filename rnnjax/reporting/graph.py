"""The computation of a model as a graph that TensorBoard draws, folded by module and by loop.

TensorBoard draws TensorFlow's `GraphDef`: nodes, whose names are paths of scopes, and the names of
the nodes that each reads. Here a node is an equation of a jaxpr; its scopes are those that flax and
`jax.named_scope` have given it, and a loop is a scope of its own, with its body inside.
"""

import collections
import re
from collections.abc import Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto

from rnnjax.compat import Scan, called, scan_of

# Equations that only say the same in another shape or type: their edges go through.
SILENT = {"convert_element_type", "stop_gradient", "copy"}
SILENT |= {"squeeze", "transpose", "reshape", "broadcast_in_dim"}
UNNAMED = re.compile(r"[A-Z]\w*_\d+(\.\w+)?|.*[^\w.-].*|")  # such as `Stack_0.step`, `jvp()`


def graph_of(
    traced: ClosedJaxpr, names: Sequence[str], outputs: Sequence[str], root: str
) -> GraphDef:
    """Returns the graph of a traced function.

    Args:
      traced: the function.
      root: the scope that all of it is in, which is left out.
      names: of its arguments, flattened: paths whose scopes they are drawn in.
      outputs: of its results, flattened.
    """
    graph = _Graph(root)
    arguments = [
        graph.add(name, "Parameter" if "/" in name else "Placeholder", (), variable.aval)
        for name, variable in zip(names, traced.jaxpr.invars, strict=True)
    ]
    results = graph.draw(traced, arguments, "")
    for name, node, variable in zip(outputs, results, traced.jaxpr.outvars, strict=True):
        graph.add(name, "Identity", [node], variable.aval)
    return graph.without_unread({*outputs})


class _Graph:
    """Nodes by name, as they come."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._nodes: dict[str, NodeDef] = {}
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, name: str, op: str, inputs: Sequence[str], *avals: Any) -> str:
        """Adds a node with so many results; returns its name, which no other node has."""
        self._counts[name] += 1
        if self._counts[name] > 1:
            name = f"{name}_{self._counts[name] - 1}"
        node = NodeDef(name=name, op=op, input=[i for i in inputs if i])
        node.attr["_output_shapes"].list.shape.extend(_shape(aval) for aval in avals)
        self._nodes[name] = node
        return name

    def draw(self, traced: ClosedJaxpr, arguments: Sequence[str], scope: str) -> list[str]:
        """Adds the equations of a function inside a scope; returns the nodes of its results."""
        jaxpr = traced.jaxpr
        known = dict(zip(jaxpr.invars, arguments, strict=True))

        def read(variable: Any) -> str:  # constants are not drawn
            return "" if isinstance(variable, Literal) else known.get(variable, "")

        for eqn in jaxpr.eqns:
            operands = [read(variable) for variable in eqn.invars]
            place = _joined(scope, *(part for part in _scopes(eqn) if part != self._root))
            name = eqn.primitive.name
            if name in SILENT:
                results = operands[:1]
            elif not any(operands):  # a constant
                results = [""] * len(eqn.outvars)
            elif (scan := scan_of(eqn)) is not None:
                results = self._draw_scan(scan, eqn.outvars, operands, f"{place}/scan".lstrip("/"))
            elif (inner := called(eqn)) is not None:
                results = self.draw(inner, operands, place)
            else:
                avals = [variable.aval for variable in eqn.outvars]
                node = self.add(_joined(place, name), name, operands, *avals)
                results = [node, *(f"{node}:{n}" for n in range(1, len(avals)))]
            known.update(zip(eqn.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _draw_scan(
        self, scan: Scan, outvars: Sequence[Any], operands: Sequence[str], scope: str
    ) -> list[str]:
        """Adds a loop: what it carries goes round, from the end of the body to its beginning."""
        body, num_consts, num_carry, _ = scan
        consts, rest = operands[:num_consts], operands[num_consts:]
        variables = body.jaxpr.invars[num_consts:]
        carried, steps = [], []
        for n, (operand, variable) in enumerate(zip(rest, variables, strict=True)):
            if n < num_carry:
                carried.append(self.add(f"{scope}/carry", "Merge", [operand], variable.aval))
            else:
                steps.append(self.add(f"{scope}/step", "Slice", [operand], variable.aval))
        results = self.draw(body, [*consts, *carried, *steps], f"{scope}/body")
        for node, result in zip(carried, results, strict=False):
            if result:
                self._nodes[node].input.append(result)
        stacked = []
        for result, variable in zip(results[num_carry:], outvars[num_carry:], strict=True):
            stacked.append(self.add(f"{scope}/all_steps", "Stack", [result], variable.aval))
        return [*results[:num_carry], *stacked]

    def without_unread(self, outputs: set[str]) -> GraphDef:
        """Returns the graph of what the outputs depend on."""
        wanted, waiting = set(outputs), list(outputs)
        while waiting:
            for name in map(_node_of, self._nodes[waiting.pop()].input):
                if name not in wanted:
                    wanted.add(name)
                    waiting.append(name)
        return GraphDef(node=[node for name, node in self._nodes.items() if name in wanted])


def _node_of(edge: str) -> str:
    return edge.partition(":")[0]


def _scopes(eqn: Any) -> list[str]:
    """Returns an equation's scopes, but for those of transformations and of unnamed modules."""
    parts = str(eqn.source_info.name_stack).split("/")
    return [part for part in parts if not UNNAMED.fullmatch(part)]


def _joined(scope: str, *parts: str) -> str:
    """Returns the path of what is in a scope, whose own parts add nothing when they come again."""
    known = scope.split("/") if scope else []
    return "/".join((*known, *(part for part in dict.fromkeys(parts) if part not in known)))


def _shape(aval: Any) -> TensorShapeProto:
    sizes = getattr(aval, "shape", ())
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=int(size)) for size in sizes])
