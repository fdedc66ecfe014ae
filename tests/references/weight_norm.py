"""Long short-term memory with normalised weights."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, softsign
from tests.references.lstm import lstm


def weight_norm(v: Array, g: Array) -> Array:
    """Salimans and Kingma, "Weight normalization" (2016), arXiv:1602.07868, equation 2.

    w = g v / ||v||, where v are the weights that lead to one unit, a column.
    """
    w = np.zeros_like(v)
    for unit in range(v.shape[1]):
        w[:, unit] = g[unit] * v[:, unit] / np.sqrt(sum(v[:, unit] ** 2))
    return w


def _weight_norm_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """`tf.contrib.rnn.WeightNormLSTMCell`: the weights of x and of h are normalised separately.

    Those of the projection are normalised too; all else is as in `tf.nn.rnn_cell.LSTMCell`.
    """
    inputs = x.shape[0]
    of_x = weight_norm(params["kernel"][:inputs], params["scales"][0])
    of_h = weight_norm(params["kernel"][inputs:], params["scales"][1])
    normalised = dict(params) | {"kernel": np.concatenate([of_x, of_h])}
    if "projection" in params:
        normalised["projection"] = weight_norm(params["projection"], params["projection_scale"])
    memory, h = lstm(
        normalised,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        cell_clip=options.get("cell_clip"),
        projection_clip=options.get("projection_clip"),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


REFERENCES = {"weight_norm_lstm": _weight_norm_lstm}
CASES = [
    Case("weight_norm_lstm", {}),
    Case("weight_norm_lstm", {"activation": softsign}),
    Case("weight_norm_lstm", {"forget_bias": 0.0}),
    Case("weight_norm_lstm", {"use_peepholes": True}),
    Case("weight_norm_lstm", {"cell_clip": 0.5}),
    Case("weight_norm_lstm", {"projection_size": 3}),
    Case("weight_norm_lstm", {"projection_size": 3, "projection_clip": 0.1}),
    Case(
        "weight_norm_lstm",
        {
            "activation": softsign,
            "forget_bias": 0.5,
            "use_peepholes": True,
            "cell_clip": 0.5,
            "projection_size": 3,
            "projection_clip": 0.1,
        },
    ),
]
