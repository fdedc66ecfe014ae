"""Long short-term memory."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    forget_bias: float,
    cell_clip: float | None,
    projection_clip: float | None,
    activation: Activation,
) -> tuple[Array, Array]:
    """A step of the long short-term memory on one example: the new memory c and hidden state h.

    Hochreiter and Schmidhuber, "Long short-term memory" (1997), with the forget gate of Gers et al.
    (2000); peepholes, clipping and projection as in Sak, Senior and Beaufays (2014),
    arXiv:1402.1128, and `tf.nn.rnn_cell.LSTMCell`: the gates lie in the order i, j, f, o, the
    forget bias is added at run time, the peepholes of i and f see the old memory, the memory is
    clipped before the output gate, whose peephole sees it clipped, and the projection is linear
    and clipped after.
    """
    inputs, units = x.shape[0], memory.shape[0]
    w_x = params["kernel"][:inputs]
    w_h = params["kernel"][inputs:]
    b = params["bias"]
    gate_i = slice(0, units)
    gate_j = slice(units, 2 * units)
    gate_f = slice(2 * units, 3 * units)
    gate_o = slice(3 * units, 4 * units)

    i = x @ w_x[:, gate_i] + h @ w_h[:, gate_i] + b[gate_i]
    j = x @ w_x[:, gate_j] + h @ w_h[:, gate_j] + b[gate_j]
    f = x @ w_x[:, gate_f] + h @ w_h[:, gate_f] + b[gate_f] + forget_bias
    o = x @ w_x[:, gate_o] + h @ w_h[:, gate_o] + b[gate_o]
    if "peepholes" in params:
        i = i + params["peepholes"][0] * memory
        f = f + params["peepholes"][1] * memory
    new_memory = sigmoid(f) * memory + sigmoid(i) * activation(j)
    if cell_clip is not None:
        new_memory = np.clip(new_memory, -cell_clip, cell_clip)
    if "peepholes" in params:
        o = o + params["peepholes"][2] * new_memory
    new_h = sigmoid(o) * activation(new_memory)
    if "projection" in params:
        new_h = new_h @ params["projection"]
        if projection_clip is not None:
            new_h = np.clip(new_h, -projection_clip, projection_clip)
    return new_memory, new_h


def _lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        cell_clip=options.get("cell_clip"),
        projection_clip=options.get("projection_clip"),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


REFERENCES = {"lstm": _lstm}
CASES = [
    Case("lstm", {}),
    Case("lstm", {"activation": softsign}),
    Case("lstm", {"forget_bias": 0.0}),
    Case("lstm", {"use_peepholes": True}),
    Case("lstm", {"cell_clip": 0.5}),
    Case("lstm", {"projection_size": 3}),
    Case("lstm", {"projection_size": 3, "projection_clip": 0.25}),
    Case(
        "lstm",
        {
            "activation": softsign,
            "forget_bias": 0.5,
            "use_peepholes": True,
            "cell_clip": 0.5,
            "projection_size": 3,
            "projection_clip": 0.25,
        },
    ),
]
