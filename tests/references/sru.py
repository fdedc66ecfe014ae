"""The simple recurrent unit."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def sru(params: Arrays, memory: Array, x: Array, *, activation: Activation) -> tuple[Array, Array]:
    """A step of the simple recurrent unit on one example: the new memory c and the output h.

    Lei, Zhang and Artzi, "Training RNNs as fast as CNNs" (2017), arXiv:1709.02755v1, as in
    `tf.contrib.rnn.SRUCell`: the four blocks of the kernel are those of the candidate, the forget
    gate, the reset gate and the highway, which so takes x of any width; only the two gates have
    biases.
    """
    units = memory.shape[0]
    w, b = params["kernel"], params["bias"]
    x_bar = x @ w[:, 0:units]
    f = sigmoid(x @ w[:, units : 2 * units] + b[0:units])
    r = sigmoid(x @ w[:, 2 * units : 3 * units] + b[units : 2 * units])
    highway = x @ w[:, 3 * units : 4 * units]
    new_memory = f * memory + (1.0 - f) * x_bar
    h = r * activation(new_memory) + (1.0 - r) * highway
    return new_memory, h


def _sru(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = sru(params, carry["cell"], x, activation=options.get("activation", np.tanh))
    return {"cell": memory}, h


REFERENCES = {"sru": _sru}
CASES = [Case("sru", {}), Case("sru", {"activation": softsign})]
