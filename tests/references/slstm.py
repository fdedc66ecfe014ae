"""The LSTM with exponential gates and scalar memory."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def slstm(
    params: Arrays,
    memory: Array,
    normalizer: Array,
    stabilizer: Array,
    h: Array,
    x: Array,
    *,
    num_heads: int,
    forget_gate: str,
) -> tuple[Array, Array, Array, Array]:
    """A step of the sLSTM on one example: the new c, n, m and h.

    Beck et al., "xLSTM: Extended long short-term memory" (2024), arXiv:2405.04517, section 2.2,
    with the stabiliser state of its equations 15 to 17: c and n are those times exp(-m). The
    recurrent weights are block diagonal, one block a head and gate. Where nothing has come in so
    far, n = 0, the stabiliser is the input gate's alone and the old state has no weight above 1, as
    in the authors' code: a state of zero would otherwise bound m from below and let n underflow.
    """
    units = h.shape[0]
    size = units // num_heads
    raw = {}
    for number, gate in enumerate("ifzo"):
        block = slice(number * units, (number + 1) * units)
        raw[gate] = x @ params["input_kernel"][:, block] + params["bias"][block]
        for head in range(num_heads):
            columns = slice(head * size, (head + 1) * size)
            raw[gate][columns] += h[columns] @ params["recurrent_kernel"][head, :, number, :]

    z = np.tanh(raw["z"])
    o = sigmoid(raw["o"])
    log_i = raw["i"]
    log_f = {"exponential": raw["f"], "sigmoid": np.log(sigmoid(raw["f"]))}[forget_gate]
    m = np.where(normalizer == 0, log_i, np.maximum(log_f + stabilizer, log_i))
    i = np.minimum(np.exp(log_i - m), 1.0)
    f = np.minimum(np.exp(log_f + stabilizer - m), 1.0)
    c = f * memory + i * z
    n = f * normalizer + i
    return c, n, m, o * c / n


def _slstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    c, n, m, h = slstm(
        params,
        carry["cell"],
        carry["normalizer"],
        carry["stabilizer"],
        carry["hidden"],
        x,
        num_heads=options.get("num_heads", 1),
        forget_gate=options.get("forget_gate", "exponential"),
    )
    return {"cell": c, "normalizer": n, "stabilizer": m, "hidden": h}, h


REFERENCES = {"slstm": _slstm}
CASES = [
    Case("slstm", {}),
    Case("slstm", {"num_heads": 2}),
    Case("slstm", {"forget_gate": "sigmoid"}),
    Case("slstm", {"num_heads": 2, "forget_gate": "sigmoid"}),
]
