"""The phased long short-term memory."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def openness(time: float, period: float, phase: float, ratio_on: float, leak: float) -> float:
    """The time gate k of one unit: a cycle opens it, closes it, and leaves it shut but for a leak.

    Neil, Pfeiffer and Liu (2016), arXiv:1610.09513, section 2 (tau is the period, s the
    phase, r_on the ratio, alpha the leak).
    """
    phi = ((time - phase) % period) / period
    if phi < 0.5 * ratio_on:
        return 2.0 * phi / ratio_on
    if phi < ratio_on:
        return 2.0 - 2.0 * phi / ratio_on
    return leak * phi


def phased_lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    time: float,
    x: Array,
    *,
    use_peepholes: bool,
    leak: float,
    ratio_on: Array,
) -> tuple[Array, Array]:
    """A step of the phased long short-term memory on one example: the new memory c and h.

    Neil, Pfeiffer and Liu, "Phased LSTM: accelerating recurrent network training for long or
    event-based sequences" (2016), as in `tf.contrib.rnn.PhasedLSTMCell`: no forget bias; peepholes
    are whole matrices below those of x and h; the output gate sees the proposed memory, before the
    time gate mixes it with the old one.
    """
    units = memory.shape[0]
    gate_i, gate_f = slice(0, units), slice(units, 2 * units)
    gate_inputs = [x, h]
    if use_peepholes:
        gate_inputs.append(memory)
    joined = np.concatenate(gate_inputs)
    w_g, b_g = params["gates_kernel"], params["gates_bias"]
    i = sigmoid(joined @ w_g[:, gate_i] + b_g[gate_i])
    f = sigmoid(joined @ w_g[:, gate_f] + b_g[gate_f])

    candidate_kernel = params["candidate_kernel"]
    j = np.tanh(np.concatenate([x, h]) @ candidate_kernel + params["candidate_bias"])
    proposed_memory = f * memory + i * j

    output_gate_inputs = [x, h]
    if use_peepholes:
        output_gate_inputs.append(proposed_memory)
    o = sigmoid(
        np.concatenate(output_gate_inputs) @ params["output_kernel"] + params["output_bias"]
    )
    proposed_h = o * np.tanh(proposed_memory)

    new_memory, new_h = np.zeros(units), np.zeros(units)
    for n in range(units):
        k = openness(time, params["period"][n], params["phase"][n], ratio_on[n], leak)
        new_memory[n] = k * proposed_memory[n] + (1.0 - k) * memory[n]
        new_h[n] = k * proposed_h[n] + (1.0 - k) * h[n]
    return new_memory, new_h


def _phased_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    (time,) = carry["time"]  # the number of the step
    if options.get("timestamps", False):
        time, x = x[0], x[1:]
    if options.get("trainable_ratio_on", True):
        ratio_on = params["ratio_on"]
    else:
        ratio_on = np.full(carry["cell"].shape, options.get("ratio_on", 0.1))
    memory, h = phased_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        time,
        x,
        use_peepholes=options.get("use_peepholes", False),
        leak=options.get("leak", 0.001),
        ratio_on=ratio_on,
    )
    return {"cell": memory, "hidden": h, "time": carry["time"] + 1.0}, h


REFERENCES = {"phased_lstm": _phased_lstm}
CASES = [
    Case("phased_lstm", {}),
    Case("phased_lstm", {"use_peepholes": True}),
    Case("phased_lstm", {"leak": 0.25}),
    Case("phased_lstm", {"trainable_ratio_on": False}),
    Case("phased_lstm", {"trainable_ratio_on": False, "ratio_on": 0.5}),
    Case("phased_lstm", {"timestamps": True}),
    # Options of the initial values: they change no step.
    Case("phased_lstm", {"period_min": 2.0, "period_max": 50.0}),
    Case(
        "phased_lstm",
        {
            "use_peepholes": True,
            "leak": 0.25,
            "trainable_ratio_on": False,
            "ratio_on": 0.5,
            "timestamps": True,
        },
    ),
]
