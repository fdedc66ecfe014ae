"""The cells' published equations, one time step, one example and one gate at a time, in NumPy.

Written from the papers and TensorFlow 1's documentation alone, before the library was read (only
the choice of activation came after), and as literally as possible: nothing is fused or batched
that the equations do not fuse. Everything is float64.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]
Options = Mapping[str, Any]
Activation = Callable[[Array], Array]
Reference = Callable[[Arrays, Arrays, Array, Options], tuple[dict[str, Array], Array]]


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def basic_rnn(params: Arrays, h: Array, x: Array, *, activation: Activation) -> Array:
    """A step of Elman's network on one example: h' = act([x, h] W + b).

    Elman, "Finding structure in time" (1990); `tf.nn.rnn_cell.BasicRNNCell`: output = new_state =
    act(W * input + U * state + B).
    """
    inputs = x.shape[0]
    w_x = params["kernel"][:inputs]
    w_h = params["kernel"][inputs:]
    return activation(x @ w_x + h @ w_h + params["bias"])


def gru(params: Arrays, h: Array, x: Array, *, reset_after: bool, activation: Activation) -> Array:
    """A step of the gated recurrent unit on one example.

    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014),
    arXiv:1406.1078v3; `tf.nn.rnn_cell.GRUCell`: the reset gate comes first, it acts on the state
    before the candidate's product, and the update gate keeps the old state: u h + (1 - u) c.
    With `reset_after`, version 1 of the paper, as cuDNN, PyTorch and Keras compute it: the reset
    gate acts on the product of the state, which has a bias of its own.
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


def _basic_rnn_batch(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    activation = options.get("activation", np.tanh)
    hiddens = []
    for n in range(len(x)):
        hiddens.append(basic_rnn(params, carry["hidden"][n], x[n], activation=activation))
    return {"hidden": np.stack(hiddens)}, np.stack(hiddens)


def _gru_batch(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    hiddens = []
    for n in range(len(x)):
        hidden = gru(
            params,
            carry["hidden"][n],
            x[n],
            reset_after=options.get("reset_after", False),
            activation=options.get("activation", np.tanh),
        )
        hiddens.append(hidden)
    return {"hidden": np.stack(hiddens)}, np.stack(hiddens)


def _lstm_batch(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memories, hiddens = [], []
    for n in range(len(x)):
        memory, hidden = lstm(
            params,
            carry["cell"][n],
            carry["hidden"][n],
            x[n],
            forget_bias=options.get("forget_bias", 1.0),
            cell_clip=options.get("cell_clip"),
            projection_clip=options.get("projection_clip"),
            activation=options.get("activation", np.tanh),
        )
        memories.append(memory)
        hiddens.append(hidden)
    return {"cell": np.stack(memories), "hidden": np.stack(hiddens)}, np.stack(hiddens)


REFERENCES: dict[str, Reference] = {
    "rnn": _basic_rnn_batch,
    "gru": _gru_batch,
    "lstm": _lstm_batch,
}
