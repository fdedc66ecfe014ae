"""The minimal gated unit."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid, softsign


def _mgu(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """Zhou et al., "Minimal gated unit for recurrent neural networks" (2016), arXiv:1603.09420.

    Its one gate f is both the forget gate inside the candidate and the share of the candidate in
    the new state. With `reset_after` it is `flax.linen.MGUCell`: the gate comes after the product
    with h, which has a separate bias, and f is the share of the old state.
    """
    activation = options.get("activation", np.tanh)
    inputs, h = x.shape[0], carry["hidden"]
    w_xf, w_hf = params["forget_kernel"][:inputs], params["forget_kernel"][inputs:]
    w_xc, w_hc = params["candidate_kernel"][:inputs], params["candidate_kernel"][inputs:]
    b_f, b_c = params["forget_gate_bias"], params["candidate_bias"]

    f = sigmoid(x @ w_xf + h @ w_hf + b_f)
    if options.get("reset_after", False):
        candidate = activation(x @ w_xc + b_c + f * (h @ w_hc + params["recurrent_bias"]))
        h = (1 - f) * candidate + f * h
    else:
        candidate = activation(x @ w_xc + (f * h) @ w_hc + b_c)
        h = (1 - f) * h + f * candidate
    return {"hidden": h}, h


REFERENCES = {"mgu": _mgu}
CASES = [
    Case("mgu", {}),
    Case("mgu", {"activation": softsign}),
    Case("mgu", {"reset_after": True}),
    Case("mgu", {"reset_after": True, "activation": softsign}),
]
