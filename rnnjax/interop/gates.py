"""The gates of a cell in another order, and the inputs' kernel apart from the recurrent one."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnnjax.cells import (
    BasicRNNCell,
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    GRUCell,
    LSTMCell,
    MGUCell,
)


class Weights(NamedTuple):
    """The weights of a cell with G gates of H units, side by side on the last axis."""

    kernel: jax.Array  # [..., F, G H], of the inputs
    recurrent_kernel: jax.Array  # [..., P, G H], of the last output
    bias: jax.Array  # [G H]
    recurrent_bias: jax.Array  # [G H]; added to `bias`, but for a candidate with its own


# A cell's parameters: kernel, bias, and their gates in order, c being a candidate.
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

# The fields of an LSTM that only has what everybody's has.
PLAIN_LSTM: dict[str, tuple[Any, ...]] = {
    "forget_bias": (0,),
    "use_peepholes": (False,),
    "cell_clip": (None,),
    "projection_clip": (None,),
}


def reorder(array: Float[Array, "*axes G"], gates: str, order: str) -> Float[Array, "*axes K"]:
    """Returns the gates named in `order` out of an array with `gates` on its last axis.

    >>> import jax.numpy as jnp
    >>> reorder(jnp.arange(6.0), "ruc", "ur")
    Array([2., 3., 0., 1.], dtype=float32)
    """
    parts = dict(zip(gates, jnp.split(array, len(gates), axis=-1), strict=True))
    return jnp.concatenate([parts[gate] for gate in order], axis=-1)


def separate(cell: Any, params: dict[str, jax.Array], order: str) -> Weights:
    """Returns a cell's parameters as weights with the gates in `order`."""
    table = PARAMETERS[type(cell)]
    gates = "".join(names for _, _, names in table)
    kernel = jnp.concatenate([params[name] for name, _, _ in table], axis=-1)
    zeros = jnp.zeros_like(kernel, shape=kernel.shape[-1:])  # Without `use_bias` there is none.
    bias = jnp.concatenate([params[name] for _, name, _ in table if name in params] or [zeros])
    recurrent_bias = zeros
    if "recurrent_bias" in params:
        recurrent_bias = recurrent_bias.at[-cell.features :].set(params["recurrent_bias"])
    rows = kernel.shape[-2] - getattr(cell, "output_size", cell.features)
    kernel, recurrent_kernel = jnp.split(kernel, [rows], axis=-2)
    arrays = (kernel, recurrent_kernel, bias, recurrent_bias)
    return Weights(*(reorder(array, gates, order) for array in arrays))


def join(cell: Any, weights: Weights, order: str) -> dict[str, jax.Array]:
    """Returns the parameters of a cell, the inverse of `separate`."""
    kernel = jnp.concatenate([weights.kernel, weights.recurrent_kernel], axis=-2)
    bias = weights.bias + weights.recurrent_bias
    params: dict[str, jax.Array] = {}
    for kernel_name, bias_name, gates in PARAMETERS[type(cell)]:
        params[kernel_name] = reorder(kernel, order, gates)
        if getattr(cell, "use_bias", True):
            params[bias_name] = reorder(bias, order, gates)
    if getattr(cell, "reset_after", False):  # The gate stands between these two.
        params["candidate_bias"] = reorder(weights.bias, order, "c")
        params["recurrent_bias"] = reorder(weights.recurrent_bias, order, "c")
    return params
