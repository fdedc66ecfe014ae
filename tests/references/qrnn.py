"""The quasi-recurrent network."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def qrnn(
    params: Arrays, memory: Array, previous: Array, x: Array, *, pooling: str
) -> tuple[Array, Array]:
    """A step of the quasi-recurrent network on one example: the new memory c and the output h.

    Bradbury, Merity, Xiong and Socher, "Quasi-recurrent neural networks" (2016), arXiv:1611.01576,
    equations 1 to 5: each gate is a convolution over the last k inputs, the masked convolution of
    the paper, here with a bias; `previous` holds k - 1 of them, the oldest first. The gates lie in
    the order z, f, o, i, as many of them as the pooling has.
    """
    units = memory.shape[0]
    taps = [*previous, x]

    def convolve(gate: int) -> Array:
        columns = slice(gate * units, (gate + 1) * units)
        total = params["bias"][columns]
        for tap, kernel in zip(taps, params["kernel"], strict=True):
            total = total + tap @ kernel[:, columns]
        return total

    z = np.tanh(convolve(0))
    f = sigmoid(convolve(1))
    if pooling == "f":
        new_memory = f * memory + (1.0 - f) * z
        return new_memory, new_memory
    o = sigmoid(convolve(2))
    if pooling == "fo":
        new_memory = f * memory + (1.0 - f) * z
        return new_memory, o * new_memory
    assert pooling == "ifo"
    i = sigmoid(convolve(3))
    new_memory = f * memory + i * z
    return new_memory, o * new_memory


def _qrnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    pooling = options.get("pooling", "fo")
    memory, h = qrnn(params, carry["cell"], carry["window"], x, pooling=pooling)
    window = np.concatenate([carry["window"], x[None]])[1:]  # The oldest input leaves.
    return {"cell": memory, "window": window}, h


REFERENCES = {"qrnn": _qrnn}
CASES = [
    Case("qrnn", {}),
    Case("qrnn", {"window": 1}),
    Case("qrnn", {"pooling": "f"}),
    Case("qrnn", {"pooling": "ifo"}),
    Case("qrnn", {"window": 3, "pooling": "ifo"}),
]
