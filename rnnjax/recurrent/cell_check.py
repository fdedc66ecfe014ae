"""A first check of a cell: what every cell holds to, tried on a few random numbers."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from rnnjax.recurrent.implementations import Implementation
from rnnjax.recurrent.unroll import Unrolled, unroll

BATCH, STEPS = 3, 4
TOLERANCE = 1e-5  # of the largest value, in float32


class Check(NamedTuple):
    """One thing that a cell holds to, or does not."""

    name: str
    problem: str | None  # None: it holds
    note: str = ""  # on how it holds


class Example(NamedTuple):
    """A cell with random parameters, and something to read."""

    cell: nn.RNNCellBase
    variables: Any
    carry: Any  # leaves [B, ...]
    inputs: Array  # [B, T, F], or an image in the place of F


def check_cell(cell: nn.RNNCellBase, input_shape: tuple[int, ...]) -> Iterator[Check]:
    """Yields checks of a cell, one after the other; each needs those before it.

    What the cell itself raises goes through: it says more than a check could. Products are of full
    precision, also where JAX's default is a lower one, as on TPUs and most GPUs.

    Args:
      cell: without parameters.
      input_shape: of one step of one example, `[F]`, or an image in the place of F.
    """
    example = _example(cell, input_shape)
    yield Check("a step keeps the carry's shapes and types", _carry_problem(example))
    run = jax.jit(functools.partial(_precisely, nn.apply(unroll, cell), implementation="scan"))
    scanned = run(example.variables, example.inputs)
    yield Check("a scan equals a loop of steps", _difference(scanned, _loop(example)))
    changed = run(example.variables, example.inputs.at[0].add(1.0))
    same = _difference(_of(changed, slice(1)), _of(scanned, slice(1))) is None
    yield Check("it reads its inputs", "others give the same outputs" if same else None)
    others = _difference(_of(changed, slice(1, None)), _of(scanned, slice(1, None)))
    yield Check("examples of a batch are independent", others and f"another's {others}")
    gradient = _gradient(example, "scan")
    names = [name for name, leaf in _named(gradient) if not np.isfinite(leaf).all()]
    yield Check("gradients are finite", f"not those of {', '.join(names)}" if names else None)
    name = "the deferred gradient equals the scan's"
    try:
        deferred = _gradient(example, "deferred")
    except ValueError as error:  # of `run_factored`: it cannot be had
        yield Check(name, None, f"not tried: {str(error).partition(': ')[2]}")
    else:
        yield Check(name, _difference(deferred, gradient))


def _example(cell: nn.RNNCellBase, input_shape: tuple[int, ...]) -> Example:
    params_key, noise_key, inputs_key, carry_key = jax.random.split(jax.random.key(0), 4)
    inputs = jax.random.normal(inputs_key, (BATCH, STEPS, *input_shape))
    carry = cell.initialize_carry(carry_key, inputs[:, 0].shape)
    variables = cell.init(params_key, carry, inputs[:, 0])
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(noise_key, max(len(leaves), 1))
    # Zeros, as of biases, would hide what becomes of them.
    noisy = [
        leaf + 0.1 * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=False)
    ]
    return Example(cell, jax.tree.unflatten(structure, noisy), carry, inputs)


def _carry_problem(example: Example) -> str | None:
    cell, variables, carry, inputs = example
    new_carry, output = jax.eval_shape(cell.apply, variables, carry, inputs[:, 0])
    if jax.tree.structure(new_carry) != jax.tree.structure(carry):
        return f"the carry was {jax.tree.structure(carry)}, then {jax.tree.structure(new_carry)}"
    for (name, old), (_, new) in zip(_named(carry), _named(new_carry), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            kinds = f"{old.dtype}{[*old.shape]}, then {new.dtype}{[*new.shape]}"
            return f"carry{name} was {kinds}"
    if output.shape[:1] != (BATCH,):
        return f"for a batch of {BATCH} the output has the shape {output.shape}"
    return None


def _loop(example: Example) -> Unrolled:
    """Returns what `unroll` does, without a scan."""
    cell, variables, carry, inputs = example
    step = jax.jit(functools.partial(_precisely, cell.apply))
    outputs = []
    for t in range(STEPS):
        carry, output = step(variables, carry, inputs[:, t])
        outputs.append(output)
    return Unrolled(jnp.stack(outputs, axis=1), carry)


def _gradient(example: Example, implementation: Implementation) -> dict[str, Any]:
    """Returns the gradient of a sum of all results, with respect to parameters and inputs."""
    run = functools.partial(nn.apply(unroll, example.cell), implementation=implementation)

    def total(variables: Any, inputs: Array) -> Array:
        floats = [
            leaf
            for leaf in jax.tree.leaves(run(variables, inputs))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        return sum((jnp.sum(jnp.sin(leaf)) for leaf in floats), jnp.zeros(()))

    gradient = jax.jit(functools.partial(_precisely, jax.grad(total, argnums=(0, 1))))
    of_variables, of_inputs = gradient(example.variables, example.inputs)
    return {**of_variables, "inputs": of_inputs}


def _precisely(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Returns what a function does with products of full precision, while it is traced."""
    with jax.default_matmul_precision("highest"):
        return function(*arguments, **options)


def _of(tree: PyTree, examples: slice) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[examples], tree)


def _difference(actual: PyTree, expected: PyTree) -> str | None:
    """Returns where two trees differ most, if they do."""
    for (name, a), (_, e) in zip(_named(actual), _named(expected), strict=True):
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        largest = np.abs(a - e).max(initial=0)
        if not largest <= TOLERANCE * max(1.0, np.abs(e).max(initial=0)):
            return f"{name} differs by {largest:.2g}"
    return None


def _named(tree: PyTree) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
