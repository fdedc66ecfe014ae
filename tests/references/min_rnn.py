"""The minimal LSTM and GRU."""

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def g(v: Array) -> Array:
    """What keeps a candidate positive: v + 0.5 from 0 on, sigmoid(v) below."""
    positive = v.copy()
    for n in range(v.shape[0]):
        positive[n] = v[n] + 0.5 if v[n] >= 0.0 else sigmoid(v[n])
    return positive


def min_gru(params: Arrays, h: Array, x: Array, *, positive: bool) -> Array:
    """A step of the minimal GRU on one example.

    Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs all we needed?" (2024),
    arXiv:2410.01201, section 3.1; `positive` is its form for log-space, appendix B.
    """
    units = h.shape[0]
    w, b = params["kernel"], params["bias"]
    z = sigmoid(x @ w[:, :units] + b[:units])
    candidate = x @ w[:, units:] + b[units:]
    if positive:
        candidate = g(candidate)
    return (1.0 - z) * h + z * candidate


def min_lstm(params: Arrays, h: Array, x: Array, *, positive: bool) -> Array:
    """A step of the minimal LSTM on one example: the gates f and i are scaled to sum to 1.

    Feng et al. (2024), section 3.2; `positive` is its form for log-space, appendix B.
    """
    units = h.shape[0]
    w, b = params["kernel"], params["bias"]
    f = sigmoid(x @ w[:, :units] + b[:units])
    i = sigmoid(x @ w[:, units : 2 * units] + b[units : 2 * units])
    candidate = x @ w[:, 2 * units :] + b[2 * units :]
    if positive:
        candidate = g(candidate)
    return f / (f + i) * h + i / (f + i) * candidate


def _min_gru(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    h = min_gru(params, carry["hidden"], x, positive=options.get("positive", True))
    return {"hidden": h}, h


def _min_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    h = min_lstm(params, carry["hidden"], x, positive=options.get("positive", True))
    return {"hidden": h}, h


REFERENCES = {"min_gru": _min_gru, "min_lstm": _min_lstm}
CASES = [
    Case("min_gru", {}),
    Case("min_gru", {"positive": False}),
    Case("min_lstm", {}),
    Case("min_lstm", {"positive": False}),
]
