"""The same weights and inputs in our modules and in another framework's: what is compared."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.recurrent.unroll import unroll
from tests.cases import BATCH, STEPS, jit_unoptimized

FEATURES = 3
LENGTHS = np.array([4, 1, STEPS])  # one a sequence; peers have no empty ones
TOLERANCE = 2e-6  # float32 rounds differently where sums are added up in another order


class Result(NamedTuple):
    outputs: Any  # [B, T, H]
    carries: list[Any]  # of each cell, as a tuple, the hidden state first
    inputs_gradient: Any  # of the loss
    arrays_gradient: Any  # of the loss, with respect to the other framework's arrays


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Returns random weights or inputs, of a size at which gates stay in their steep part.

    The same float32 numbers always, in the widest dtype in which JAX computes at the moment.
    """
    values = np.random.default_rng(seed).normal(scale=0.5, size=shape).astype(np.float32)
    return values.astype(jax.dtypes.canonicalize_dtype(np.float64))


def draw_inputs(space: tuple[int, ...] = ()) -> np.ndarray:
    return draw(BATCH, STEPS, *space, FEATURES, seed=1)


def loss(outputs: Any) -> Any:
    """Returns a scalar in which each output has another weight, about as large as 1."""
    return (outputs * draw_probe(outputs.shape)).sum()


def draw_probe(shape: tuple[int, ...]) -> np.ndarray:
    return draw(*shape, seed=2)


def run(
    model: nn.Module,
    load: Callable[[Any], Any],
    arrays: Any,
    lengths: Any = None,
    space: tuple[int, ...] = (),
) -> Result:
    """Runs a module with another framework's arrays, and differentiates through `load`."""

    def apply(arrays: Any, inputs: jax.Array) -> tuple[jax.Array, Any]:
        variables = {"params": load(arrays)}
        if isinstance(model, nn.RNNCellBase):
            result = nn.apply(unroll, model)(variables, inputs, lengths=lengths)
        else:
            result: Any = model.apply(variables, inputs, lengths=lengths)
        return loss(result.outputs), result

    differentiate = compile_gradients(apply)
    (of_arrays, of_inputs), result = differentiate(arrays, jnp.asarray(draw_inputs(space)))
    return Result(result.outputs, hidden_first(result.carry), of_inputs, of_arrays)


def compile_gradients(
    apply: Callable[[Any, jax.Array], tuple[jax.Array, Any]],
) -> Callable[..., Any]:
    """Returns the compiled gradients of a loss with respect to arrays and inputs, and the rest."""
    return jit_unoptimized(jax.grad(apply, argnums=(0, 1), has_aux=True))


def hidden_first(carry: Any) -> list[tuple[Any, ...]]:
    """Returns the carries of each cell in a module's carry, flax's included."""
    if hasattr(carry, "hidden"):
        return [(carry.hidden, carry.cell) if hasattr(carry, "cell") else (carry.hidden,)]
    if not isinstance(carry, tuple):
        return [(carry,)]
    if not isinstance(carry[0], tuple):
        return [carry[::-1]]
    return [one for part in carry for one in hidden_first(part)]
