"""A cell's gates in another framework's order, the kernel of the inputs apart from the recurrent.

Each framework stores the gates side by side in an order of its own; a string with a letter a gate
says which, here and in the `GATE_ORDERS` of `torch`, `keras` and `linen`: i input, f forget,
o output, r reset, u update; j (LSTM) and c (all others) are the candidate.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from rnnjax.cells import (
    BasicRNNCell,
    Cell,
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    GRUCell,
    LSTMCell,
    MGUCell,
)


class Weights(NamedTuple):
    """The weights of a cell with G gates of H units, side by side on the last axis."""

    kernel: Float[Array, "*taps F G*H"]  # of the inputs
    recurrent_kernel: Float[Array, "*taps P G*H"]  # of the last output
    bias: Float[Array, " G*H"]
    recurrent_bias: Float[Array, " G*H"]  # added to `bias`, but for a candidate with its own


# A cell's parameters: kernel, bias, and the order of their gates.
PARAMETERS: dict[type, tuple[tuple[str, str, str], ...]] = {
    BasicRNNCell: (("kernel", "bias", "c"),),
    GRUCell: (
        ("gates_kernel", "gates_bias", "ru"),
        ("candidate_kernel", "candidate_bias", "c"),
    ),
    LSTMCell: (("kernel", "bias", "ijfo"),),
    ConvLSTM1DCell: (("kernel", "bias", "ijfo"),),
    ConvLSTM2DCell: (("kernel", "bias", "ijfo"),),
    ConvLSTM3DCell: (("kernel", "bias", "ijfo"),),
    MGUCell: (
        ("forget_kernel", "forget_gate_bias", "f"),
        ("candidate_kernel", "candidate_bias", "c"),
    ),
}

# The values of an LSTM's fields that other frameworks' LSTMs have, too.
PLAIN_LSTM: dict[str, tuple[Any, ...]] = {
    "forget_bias": (0,),
    "use_peepholes": (False,),
    "cell_clip": (None,),
    "projection_clip": (None,),
}


def reorder(array: Float[Array, "*axes GH"], gates: str, order: str) -> Float[Array, "*axes KH"]:
    """Returns an array's gates in another order.

    >>> import jax.numpy as jnp
    >>> reorder(jnp.arange(6.0), "ruc", "ur")
    Array([2., 3., 0., 1.], dtype=float32)

    Args:
      array: `[..., G H]`, G gates of H units each.
      gates: their order, a letter a gate.
      order: the K gates of the result `[..., K H]`, some or all of them.

    Raises:
      TypeError: if G does not divide the last axis.
      KeyError: for a gate that the array does not have.
    """
    by_gate = dict(zip(gates, jnp.split(array, len(gates), axis=-1), strict=True))
    return jnp.concatenate([by_gate[gate] for gate in order], axis=-1)


def separate(cell: Cell, params: Mapping[str, ArrayLike], order: str) -> Weights:
    """Returns a cell's parameters as weights with the gates in `order`.

    Args:
      cell: of a type in `PARAMETERS`.
      params: its parameters by name: kernels `[..., F + P, K H]`, biases `[K H]`.
      order: of the G gates in the result.
    """
    names = PARAMETERS[type(cell)]
    gates = "".join(letters for _, _, letters in names)
    kernel = jnp.concatenate([params[name] for name, _, _ in names], axis=-1)
    biases = [params[name] for _, name, _ in names if name in params]
    zeros = jnp.zeros_like(kernel, shape=kernel.shape[-1:])
    bias = jnp.concatenate(biases or [zeros])
    recurrent_bias = zeros
    if "recurrent_bias" in params:
        recurrent_bias = recurrent_bias.at[-cell.features :].set(params["recurrent_bias"])
    num_inputs = kernel.shape[-2] - getattr(cell, "output_size", cell.features)
    kernel, recurrent_kernel = jnp.split(kernel, [num_inputs], axis=-2)
    arrays = (kernel, recurrent_kernel, bias, recurrent_bias)
    return Weights(*(reorder(array, gates, order) for array in arrays))


def join(cell: Cell, weights: Weights, order: str) -> dict[str, Array]:
    """Returns a cell's parameters by name, from weights with the gates in `order`.

    The inverse of `separate`, except that two biases that a cell adds up become one.
    """
    kernel = jnp.concatenate([weights.kernel, weights.recurrent_kernel], axis=-2)
    bias = weights.bias + weights.recurrent_bias
    params: dict[str, Array] = {}
    for kernel_name, bias_name, gates in PARAMETERS[type(cell)]:
        params[kernel_name] = reorder(kernel, order, gates)
        if getattr(cell, "use_bias", True):
            params[bias_name] = reorder(bias, order, gates)
    if getattr(cell, "reset_after", False):  # The reset gate multiplies one of the two only.
        params["candidate_bias"] = reorder(weights.bias, order, "c")
        params["recurrent_bias"] = reorder(weights.recurrent_bias, order, "c")
    return params
