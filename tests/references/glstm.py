"""Group long short-term memory."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def glstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    num_groups: int,
    forget_bias: float,
    activation: Activation,
) -> tuple[Array, Array]:
    """A step of the group LSTM on one example: the new memory c and hidden state h.

    Kuchaiev and Ginsburg, "Factorization tricks for LSTM networks" (2017), arXiv:1703.10722;
    `tf.contrib.rnn.GLSTMCell`: group g multiplies the g-th part of x and of h by its weights and
    computes the g-th part of each gate, whose parts are then put side by side. The biases and
    the projection are of all units. As in TF, the new input goes through tanh whatever the
    activation, which is of the memory only.
    """
    units = memory.shape[0]
    x_parts = np.split(x, num_groups)
    h_parts = np.split(h, num_groups)

    def gate(which: int) -> Array:
        parts = []
        for group in range(num_groups):
            weights = params["kernel"][group][:, which]
            gate_inputs = np.concatenate([x_parts[group], h_parts[group]])
            parts.append(gate_inputs @ weights)
        return np.concatenate(parts) + params["bias"][which * units : (which + 1) * units]

    i, j, f, o = gate(0), gate(1), gate(2), gate(3)
    new_memory = sigmoid(f + forget_bias) * memory + sigmoid(i) * np.tanh(j)
    new_h = sigmoid(o) * activation(new_memory)
    if "projection" in params:
        new_h = new_h @ params["projection"]
    return new_memory, new_h


def _glstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = glstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        num_groups=options.get("num_groups", 1),
        forget_bias=options.get("forget_bias", 1.0),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


REFERENCES = {"glstm": _glstm}
CASES = [
    Case("glstm", {}),
    Case("glstm", {"activation": softsign}),
    Case("glstm", {"forget_bias": 0.0}),
    Case("glstm", {"projection_size": 3}),
    Case("glstm", {"num_groups": 2}),
    Case(
        "glstm",
        {"num_groups": 2, "projection_size": 2, "forget_bias": 0.5, "activation": softsign},
    ),
]
