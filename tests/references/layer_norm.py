"""Layer-normalised cells."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def layer_norm(a: Array, scale: Array, shift: Array, epsilon: float) -> Array:
    """Ba, Kiros and Hinton, "Layer normalization" (2016), arXiv:1607.06450, equation 4.

    As `tf.contrib.layers.layer_norm`, with epsilon added to the variance.
    """
    mean = sum(a) / len(a)
    variance = sum((a - mean) ** 2) / len(a)
    return scale * (a - mean) / np.sqrt(variance + epsilon) + shift


def layer_norm_lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    forget_bias: float,
    activation: Activation,
    epsilon: float,
) -> tuple[Array, Array]:
    """A step of the layer-normalised LSTM on one example: the new memory c and hidden state h.

    `tf.contrib.rnn.LayerNormBasicLSTMCell`: each of i, j, f, o is normalised alone, instead of a
    bias, before the forget bias is added; the normalised memory goes into the output and, other
    than in the paper, into the next step.
    """
    inputs, units = x.shape[0], memory.shape[0]
    w_x = params["kernel"][:inputs]
    w_h = params["kernel"][inputs:]
    scale, shift = params["gate_scale"], params["gate_shift"]
    gate_i = slice(0, units)
    gate_j = slice(units, 2 * units)
    gate_f = slice(2 * units, 3 * units)
    gate_o = slice(3 * units, 4 * units)

    i = layer_norm(x @ w_x[:, gate_i] + h @ w_h[:, gate_i], scale[0], shift[0], epsilon)
    j = layer_norm(x @ w_x[:, gate_j] + h @ w_h[:, gate_j], scale[1], shift[1], epsilon)
    f = layer_norm(x @ w_x[:, gate_f] + h @ w_h[:, gate_f], scale[2], shift[2], epsilon)
    o = layer_norm(x @ w_x[:, gate_o] + h @ w_h[:, gate_o], scale[3], shift[3], epsilon)
    new_memory = memory * sigmoid(f + forget_bias) + sigmoid(i) * activation(j)
    new_memory = layer_norm(new_memory, params["cell_scale"], params["cell_shift"], epsilon)
    return new_memory, activation(new_memory) * sigmoid(o)


def layer_norm_gru(
    params: Arrays, h: Array, x: Array, *, activation: Activation, epsilon: float
) -> Array:
    """A step of the layer-normalised GRU on one example.

    Ba et al. (2016), supplementary material, the GRU of the skip-thoughts: the products of x and of
    h are normalised separately, the two gates jointly over 2H, the candidate over H. There
    h' = (1 - z) h + z c; here u = 1 - z, as in `GRUCell`, so that the sign of its weights differs.
    """
    units = h.shape[0]
    gates, candidate = slice(0, 2 * units), slice(2 * units, 3 * units)

    gates_of_x = layer_norm(
        x @ params["input_kernel"][:, gates],
        params["input_scale"][gates],
        params["input_shift"][gates],
        epsilon,
    )
    gates_of_h = layer_norm(
        h @ params["recurrent_kernel"][:, gates],
        params["recurrent_scale"][gates],
        params["recurrent_shift"][gates],
        epsilon,
    )
    candidate_of_x = layer_norm(
        x @ params["input_kernel"][:, candidate],
        params["input_scale"][candidate],
        params["input_shift"][candidate],
        epsilon,
    )
    candidate_of_h = layer_norm(
        h @ params["recurrent_kernel"][:, candidate],
        params["recurrent_scale"][candidate],
        params["recurrent_shift"][candidate],
        epsilon,
    )
    r = sigmoid(gates_of_x[:units] + gates_of_h[:units])
    u = sigmoid(gates_of_x[units:] + gates_of_h[units:])
    c = activation(candidate_of_x + r * candidate_of_h)
    return u * h + (1.0 - u) * c


def _layer_norm_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = layer_norm_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        activation=options.get("activation", np.tanh),
        epsilon=options.get("epsilon", 1e-3),
    )
    return {"cell": memory, "hidden": h}, h


def _layer_norm_gru(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    h = layer_norm_gru(
        params,
        carry["hidden"],
        x,
        activation=options.get("activation", np.tanh),
        epsilon=options.get("epsilon", 1e-3),
    )
    return {"hidden": h}, h


REFERENCES = {"layer_norm_lstm": _layer_norm_lstm, "layer_norm_gru": _layer_norm_gru}
CASES = [
    Case("layer_norm_lstm", {}),
    Case("layer_norm_lstm", {"activation": softsign}),
    Case("layer_norm_lstm", {"forget_bias": 0.0}),
    Case("layer_norm_lstm", {"epsilon": 0.5}),
    Case("layer_norm_lstm", {"activation": softsign, "forget_bias": -1.0, "epsilon": 0.5}),
    Case("layer_norm_gru", {}),
    Case("layer_norm_gru", {"activation": softsign}),
    Case("layer_norm_gru", {"epsilon": 0.5}),
]
