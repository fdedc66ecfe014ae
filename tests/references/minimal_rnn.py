"""The MinimalRNN."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid, softsign


def _minimal_rnn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """Chen, "MinimalRNN" (2017), arXiv:1711.06788, as in `tf.contrib.rnn.MinimalRNNCell`.

    The input's map to z has an activation and no bias; the gate u sees z and the old state.
    """
    activation = options.get("activation", np.tanh)
    h = carry["hidden"]
    units = h.shape[0]
    w_z, w_h = params["update_kernel"][:units], params["update_kernel"][units:]

    z = activation(x @ params["input_kernel"])
    u = sigmoid(z @ w_z + h @ w_h + params["bias"])
    h = u * h + (1 - u) * z
    return {"hidden": h}, h


REFERENCES = {"minimal_rnn": _minimal_rnn}
CASES = [Case("minimal_rnn", {}), Case("minimal_rnn", {"activation": softsign})]
