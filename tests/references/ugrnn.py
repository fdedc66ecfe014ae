"""The update-gate and the intersection recurrent networks."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid, softsign


def _ugrnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """Collins, Sohl-Dickstein and Sussillo, "Capacity and trainability in RNNs" (2017).

    arXiv:1611.09913; as in `tf.contrib.rnn.UGRNNCell` the gate g stands before the candidate c,
    and the forget bias is added at run time.
    """
    activation = options.get("activation", np.tanh)
    inputs, h = x.shape[0], carry["hidden"]
    units = h.shape[0]
    w_xg, w_xc = params["kernel"][:inputs, :units], params["kernel"][:inputs, units:]
    w_hg, w_hc = params["kernel"][inputs:, :units], params["kernel"][inputs:, units:]
    b_g, b_c = params["bias"][:units], params["bias"][units:]

    c = activation(x @ w_xc + h @ w_hc + b_c)
    g = sigmoid(x @ w_xg + h @ w_hg + b_g + options.get("forget_bias", 1.0))
    h = g * h + (1 - g) * c
    return {"hidden": h}, h


def _intersection_rnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """The +RNN of the same paper, as in `tf.contrib.rnn.IntersectionRNNCell`.

    One gate couples the state with its candidate over time, the other the input with its candidate
    over depth. The columns: the gate of h, the candidate of h, the gate of y, the candidate of y.
    Inputs as wide as the state pass as they are, others by an affine map.
    """
    output_activation = options.get("output_activation", lambda v: np.maximum(v, 0))
    forget_bias = options.get("forget_bias", 1.0)
    h = carry["hidden"]
    units = h.shape[0]
    if x.shape[0] != units:
        x = x @ params["input_kernel"] + params["input_bias"]

    def pre_activation(n: int) -> Array:
        columns = slice(n * units, (n + 1) * units)
        w_x, w_h = params["kernel"][:units, columns], params["kernel"][units:, columns]
        return x @ w_x + h @ w_h + params["bias"][columns]

    g_h = sigmoid(pre_activation(0) + forget_bias)
    candidate_h = np.tanh(pre_activation(1))
    g_y = sigmoid(pre_activation(2) + forget_bias)
    candidate_y = output_activation(pre_activation(3))
    new_h = g_h * h + (1 - g_h) * candidate_h
    y = g_y * x + (1 - g_y) * candidate_y
    return {"hidden": new_h}, y


REFERENCES = {"ugrnn": _ugrnn, "intersection_rnn": _intersection_rnn}
CASES = [
    Case("ugrnn", {}),
    Case("ugrnn", {"activation": softsign}),
    Case("ugrnn", {"forget_bias": 0.0}),
    Case("ugrnn", {"activation": softsign, "forget_bias": 0.5}),
    Case("intersection_rnn", {}),
    Case("intersection_rnn", {"features": 5}),  # as wide as the inputs: no projection
    Case("intersection_rnn", {"forget_bias": 0.0}),
    Case("intersection_rnn", {"output_activation": softsign}),
    Case("intersection_rnn", {"features": 5, "forget_bias": 0.5, "output_activation": softsign}),
]
