"""The chaos-free network."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid, softsign


def _cfn(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """Laurent and von Brecht, "A recurrent neural network without chaos" (2017).

    arXiv:1612.06212, as in `tf.contrib.rnn.CFNCell`: theta is the forget gate, and what lets the
    input in is 1 - eta, where the paper has eta itself.
    """
    activation = options.get("activation", np.tanh)
    h = carry["hidden"]
    units = h.shape[0]
    v_theta = params["input_kernel"][:, :units]
    v_eta = params["input_kernel"][:, units : 2 * units]
    w = params["input_kernel"][:, 2 * units :]
    u_theta, u_eta = params["recurrent_kernel"][:, :units], params["recurrent_kernel"][:, units:]
    b_theta, b_eta = params["bias"][:units], params["bias"][units:]

    theta = sigmoid(h @ u_theta + x @ v_theta + b_theta)
    eta = sigmoid(h @ u_eta + x @ v_eta + b_eta)
    h = theta * activation(h) + (1 - eta) * activation(x @ w)
    return {"hidden": h}, h


REFERENCES = {"cfn": _cfn}
CASES = [Case("cfn", {}), Case("cfn", {"activation": softsign})]
