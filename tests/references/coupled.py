"""Long short-term memory with its input gate coupled to the forget gate."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def coupled_lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    forget_bias: float,
    projection_clip: float | None,
    activation: Activation,
) -> tuple[Array, Array]:
    """A step on one example: the new memory c and hidden state h.

    Greff et al., "LSTM: A search space odyssey" (2017), arXiv:1503.04069, variant CIFG: i = 1 - f;
    `tf.contrib.rnn.CoupledInputForgetGateLSTMCell`: the gates lie in the order j, f, o, the
    forget bias is added at run time, the peephole of f sees the old memory and that of o the new
    one, and the projection is linear and clipped after.
    """
    inputs, units = x.shape[0], memory.shape[0]
    w_x = params["kernel"][:inputs]
    w_h = params["kernel"][inputs:]
    b = params["bias"]
    gate_j = slice(0, units)
    gate_f = slice(units, 2 * units)
    gate_o = slice(2 * units, 3 * units)

    j = x @ w_x[:, gate_j] + h @ w_h[:, gate_j] + b[gate_j]
    f = x @ w_x[:, gate_f] + h @ w_h[:, gate_f] + b[gate_f] + forget_bias
    o = x @ w_x[:, gate_o] + h @ w_h[:, gate_o] + b[gate_o]
    if "peepholes" in params:
        f = f + params["peepholes"][0] * memory
    new_memory = sigmoid(f) * memory + (1.0 - sigmoid(f)) * activation(j)
    if "peepholes" in params:
        o = o + params["peepholes"][1] * new_memory
    new_h = sigmoid(o) * activation(new_memory)
    if "projection" in params:
        new_h = new_h @ params["projection"]
        if projection_clip is not None:
            new_h = np.clip(new_h, -projection_clip, projection_clip)
    return new_memory, new_h


def _coupled_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = coupled_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        projection_clip=options.get("projection_clip"),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


REFERENCES = {"coupled_lstm": _coupled_lstm}
CASES = [
    Case("coupled_lstm", {}),
    Case("coupled_lstm", {"activation": softsign}),
    Case("coupled_lstm", {"forget_bias": 0.0}),
    Case("coupled_lstm", {"use_peepholes": True}),
    Case("coupled_lstm", {"projection_size": 3}),
    Case("coupled_lstm", {"projection_size": 3, "projection_clip": 0.25}),
    Case(
        "coupled_lstm",
        {
            "activation": softsign,
            "forget_bias": 0.5,
            "use_peepholes": True,
            "projection_size": 3,
            "projection_clip": 0.25,
        },
    ),
]
