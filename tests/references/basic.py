"""Elman's network."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, softsign


def basic_rnn(params: Arrays, h: Array, x: Array, *, activation: Activation) -> Array:
    """A step of Elman's network on one example: h' = act([x, h] W + b).

    Elman, "Finding structure in time" (1990); `tf.nn.rnn_cell.BasicRNNCell`: output = new_state =
    act(W * input + U * state + B).
    """
    inputs = x.shape[0]
    w_x = params["kernel"][:inputs]
    w_h = params["kernel"][inputs:]
    return activation(x @ w_x + h @ w_h + params["bias"])


def _basic_rnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    activation = options.get("activation", np.tanh)
    h = basic_rnn(params, carry["hidden"], x, activation=activation)
    return {"hidden": h}, h


REFERENCES = {"rnn": _basic_rnn}
CASES = [Case("rnn", {}), Case("rnn", {"activation": softsign})]
