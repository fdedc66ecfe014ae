"""Any model in ONNX, translated from its jaxpr: a loop over time becomes a Scan node."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal

from rnnjax.classifier import Params
from rnnjax.compat import Scan, called, scan_of
from rnnjax.exporting.onnx_graph import Graph, UnsupportedError, value_info
from rnnjax.exporting.onnx_primitives import translate_primitive
from rnnjax.exporting.onnx_shapes import dims_of


def translate_function(
    graph: Graph,
    function: Callable[..., Any],
    params: Params,
    structs: Sequence[jax.ShapeDtypeStruct],
    arguments: Sequence[str],
) -> list[str]:
    """Adds a function of parameters and arrays; the parameters become constants by their paths.

    Args:
      graph: as `translate` wants it.
      function: of the parameters and the arrays.
      params: its parameters.
      structs: shapes and dtypes of the arrays.
      arguments: the names of the arrays.

    Returns:
      The names of its results.

    Raises:
      UnsupportedError: if it does something that has no translation.
    """
    traced = jax.make_jaxpr(function)(params, *structs)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [
        graph.array(leaf, name=jax.tree_util.keystr(path, simple=True, separator="/"))
        for path, leaf in leaves
    ]
    return translate(graph, traced, [*names, *arguments])


def translate(graph: Graph, traced: ClosedJaxpr, arguments: Sequence[str]) -> list[str]:
    """Adds a traced function to a graph.

    Args:
      graph: in which every symbol in a shape is a size that has been measured.
      traced: the function.
      arguments: the names of its arguments' values.

    Returns:
      The names of its results.

    Raises:
      UnsupportedError: if it does something that has no translation.
    """
    jaxpr = traced.jaxpr
    known = dict(zip(jaxpr.invars, arguments, strict=True))
    known.update(zip(jaxpr.constvars, map(graph.array, traced.consts), strict=True))

    def read(variable: Any) -> str:
        is_literal, aval = isinstance(variable, Literal), variable.aval
        return graph.array(variable.val, aval.dtype) if is_literal else known[variable]

    for eqn in _needed(jaxpr):
        operands = [read(variable) for variable in eqn.invars]
        if (scan := scan_of(eqn)) is not None:
            results = _translate_scan(graph, scan, operands)
        elif (inner := called(eqn)) is not None:
            results = translate(graph, inner, operands)
        else:
            results = translate_primitive(graph, eqn, operands)
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _needed(jaxpr: Any) -> list[Any]:
    """Returns the equations that the results depend on, such as none that draws at random."""
    needed = {variable for variable in jaxpr.outvars if not isinstance(variable, Literal)}
    equations = []
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            needed.update(v for v in eqn.invars if not isinstance(v, Literal))
            equations.append(eqn)
    return equations[::-1]


def _translate_scan(graph: Graph, scan: Scan, operands: Sequence[str]) -> Sequence[str]:
    body, (traced, num_consts, num_carry, reverse) = Graph(graph), scan
    variables = traced.jaxpr.invars[num_consts:]
    num_steps = len(variables) - num_carry  # arrays that are walked over
    if not num_steps:
        raise UnsupportedError("JAX's primitive 'scan' over nothing")
    inputs = [body.name("carry" if n < num_carry else "step") for n in range(len(variables))]
    results = translate(body, traced, [*operands[:num_consts], *inputs])
    # A result must be made in the body, and be no other's.
    outputs = [body.add("Identity", result) for result in results]

    def infos(names: Sequence[str], variables: Sequence[Any]) -> list[Any]:
        avals = [variable.aval for variable in variables]
        triples = [(n, a.dtype, dims_of(a.shape)) for n, a in zip(names, avals, strict=True)]
        return [value_info(*triple) for triple in triples]

    directions: dict[str, list[int]] = {}
    if reverse:
        directions["scan_input_directions"] = [1] * num_steps
        if num_outputs := len(outputs) - num_carry:
            directions["scan_output_directions"] = [1] * num_outputs
    return graph.add_many(
        "Scan",
        graph.names("Scan", len(outputs)),
        *operands[num_consts:],
        body=body.finish(
            body.name("body"),
            infos(inputs, variables),
            infos(outputs, traced.jaxpr.outvars),
        ),
        num_scan_inputs=num_steps,
        **directions,
    )
