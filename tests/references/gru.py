"""The gated recurrent unit."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def gru(params: Arrays, h: Array, x: Array, *, reset_after: bool, activation: Activation) -> Array:
    """A step of the gated recurrent unit on one example.

    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014),
    arXiv:1406.1078v3; `tf.nn.rnn_cell.GRUCell`: the reset gate comes first, it acts on the state
    before the candidate's product, and the update gate keeps the old state: u h + (1 - u) c.
    With `reset_after`, version 1 of the paper, as cuDNN, PyTorch and Keras compute it: the reset
    gate acts on the product of the state, which has a separate bias.
    """
    inputs, units = x.shape[0], h.shape[0]
    reset, update = slice(0, units), slice(units, 2 * units)
    gates_x = params["gates_kernel"][:inputs]
    gates_h = params["gates_kernel"][inputs:]
    gates_b = params["gates_bias"]
    w_c = params["candidate_kernel"][:inputs]
    u_c = params["candidate_kernel"][inputs:]
    b_c = params["candidate_bias"]

    r = sigmoid(x @ gates_x[:, reset] + h @ gates_h[:, reset] + gates_b[reset])
    u = sigmoid(x @ gates_x[:, update] + h @ gates_h[:, update] + gates_b[update])
    if reset_after:
        c = activation(x @ w_c + b_c + r * (h @ u_c + params["recurrent_bias"]))
    else:
        c = activation(x @ w_c + (r * h) @ u_c + b_c)
    return u * h + (1.0 - u) * c


def _gru(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    h = gru(
        params,
        carry["hidden"],
        x,
        reset_after=options.get("reset_after", False),
        activation=options.get("activation", np.tanh),
    )
    return {"hidden": h}, h


REFERENCES = {"gru": _gru}
CASES = [
    Case("gru", {}),
    Case("gru", {"activation": softsign}),
    Case("gru", {"reset_after": True}),
]
