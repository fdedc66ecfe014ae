"""Independently recurrent cells: a unit sees no other unit's state, only its own."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def indrnn(params: Arrays, h: Array, x: Array, *, activation: Activation) -> Array:
    """A step of the independently recurrent network on one example: h' = act(x W + u h + b).

    Li, Li, Cook, Zhu and Gao, "Independently recurrent neural network (IndRNN)" (2018),
    arXiv:1803.04831; `tf.contrib.rnn.IndRNNCell`.
    """
    return activation(x @ params["kernel"] + params["recurrent_scale"] * h + params["bias"])


def indy_lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    forget_bias: float,
    activation: Activation,
) -> tuple[Array, Array]:
    """A step of the IndyLSTM on one example: the new memory c and hidden state h.

    Gonnet and Deselaers, "IndyLSTMs: independently recurrent LSTMs" (2019), arXiv:1903.08023, as in
    `tf.contrib.rnn.IndyLSTMCell`: the gates lie in the order i, j, f, o, and the forget bias is
    added at run time.
    """
    units = memory.shape[0]
    w, u, b = params["kernel"], params["recurrent_scale"], params["bias"]
    gate_i = slice(0, units)
    gate_j = slice(units, 2 * units)
    gate_f = slice(2 * units, 3 * units)
    gate_o = slice(3 * units, 4 * units)

    i = sigmoid(x @ w[:, gate_i] + u[0] * h + b[gate_i])
    j = activation(x @ w[:, gate_j] + u[1] * h + b[gate_j])
    f = sigmoid(x @ w[:, gate_f] + u[2] * h + b[gate_f] + forget_bias)
    o = sigmoid(x @ w[:, gate_o] + u[3] * h + b[gate_o])
    new_memory = f * memory + i * j
    return new_memory, o * activation(new_memory)


def indy_gru(params: Arrays, h: Array, x: Array, *, activation: Activation) -> Array:
    """A step of the IndyGRU on one example, as in `tf.contrib.rnn.IndyGRUCell`.

    The gated recurrent unit of Cho et al. (2014) with the vectors of Li et al. (2018) in place of
    the recurrent matrices; the gates lie in the order r, u, the reset gate acts on the state
    before the candidate's product, and the update gate keeps the old state.
    """
    units = h.shape[0]
    reset, update = slice(0, units), slice(units, 2 * units)
    w_g, u_g, b_g = params["gates_kernel"], params["gates_scale"], params["gates_bias"]
    w_c, u_c, b_c = params["candidate_kernel"], params["candidate_scale"], params["candidate_bias"]

    r = sigmoid(x @ w_g[:, reset] + u_g[0] * h + b_g[reset])
    u = sigmoid(x @ w_g[:, update] + u_g[1] * h + b_g[update])
    c = activation(x @ w_c + u_c * (r * h) + b_c)
    return u * h + (1.0 - u) * c


def _indrnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    activation = options.get("activation", np.tanh)
    h = indrnn(params, carry["hidden"], x, activation=activation)
    return {"hidden": h}, h


def _indy_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = indy_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


def _indy_gru(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    activation = options.get("activation", np.tanh)
    h = indy_gru(params, carry["hidden"], x, activation=activation)
    return {"hidden": h}, h


REFERENCES = {"indrnn": _indrnn, "indy_lstm": _indy_lstm, "indy_gru": _indy_gru}
CASES = [
    Case("indrnn", {}),
    Case("indrnn", {"activation": softsign}),
    Case("indy_lstm", {}),
    Case("indy_lstm", {"activation": softsign}),
    Case("indy_lstm", {"forget_bias": 0.0}),
    Case("indy_lstm", {"activation": softsign, "forget_bias": -1.0}),
    Case("indy_gru", {}),
    Case("indy_gru", {"activation": softsign}),
]
