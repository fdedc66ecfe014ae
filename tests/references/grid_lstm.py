"""Grid long short-term memory over time and frequency."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def grid_lstm(
    params: Arrays,
    memories: Array,
    hs: Array,
    x: Array,
    *,
    feature_size: int,
    frequency_skip: int,
    forget_bias: float,
) -> tuple[Array, Array, Array]:
    """A step of the grid LSTM on one example: the new memories and hidden states, and the output.

    Kalchbrenner, Danihelka and Graves, "Grid long short-term memory" (2016), arXiv:1507.01526, with
    the peepholes of Sainath and Li, "Modeling time-frequency patterns with LSTM vs. convolutional
    architectures for LVCSR tasks" (2016); `tf.contrib.rnn.GridLSTMCell`: a window slides over the
    features. At each position an LSTM along time, with a state for each position, and an LSTM
    along frequency, whose state comes from the position before and starts at zero, read the
    window and the hidden states of both, and with peepholes the memories of both. Shared
    weights are those of the LSTM along time. The output is the hidden states along time and along
    frequency, position by position.
    """
    num_positions, units = memories.shape

    def name(axis: str, what: str) -> str:
        return f"{axis}_{what}" if f"{axis}_{what}" in params else f"time_{what}"

    def gate(axis: str, which: int, gate_inputs: Array) -> Array:
        columns = slice(which * units, (which + 1) * units)
        kernel, bias = params[name(axis, "kernel")], params[name(axis, "bias")]
        return gate_inputs @ kernel[:, columns] + bias[columns]

    def peephole(axis: str, row: int, memory_frequency: Array, memory_time: Array) -> Array:
        if "time_peepholes" not in params:
            return np.zeros(units)
        of_frequency, of_time = params[name(axis, "peepholes")][row]
        return of_frequency * memory_frequency + of_time * memory_time

    new_memories, new_hs, outputs = [], [], []
    memory_frequency, h_frequency = np.zeros(units), np.zeros(units)
    for position in range(num_positions):
        start = position * frequency_skip
        window = x[start : start + feature_size]
        memory_time, h_time = memories[position], hs[position]
        gate_inputs = np.concatenate([window, h_time, h_frequency])

        new_memory = {}
        for axis, memory in (("frequency", memory_frequency), ("time", memory_time)):
            i = gate(axis, 0, gate_inputs) + peephole(axis, 0, memory_frequency, memory_time)
            j = gate(axis, 1, gate_inputs)
            f = gate(axis, 2, gate_inputs) + peephole(axis, 1, memory_frequency, memory_time)
            new_memory[axis] = sigmoid(f + forget_bias) * memory + sigmoid(i) * np.tanh(j)
        new_h = {}
        for axis in ("frequency", "time"):
            o = gate(axis, 3, gate_inputs) + peephole(
                axis, 2, new_memory["frequency"], new_memory["time"]
            )
            new_h[axis] = sigmoid(o) * np.tanh(new_memory[axis])

        memory_frequency, h_frequency = new_memory["frequency"], new_h["frequency"]
        new_memories.append(new_memory["time"])
        new_hs.append(new_h["time"])
        outputs.extend([new_h["time"], new_h["frequency"]])
    return np.stack(new_memories), np.stack(new_hs), np.concatenate(outputs)


def _grid_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    feature_size = options.get("feature_size", x.shape[0])
    memories, hs, output = grid_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        feature_size=feature_size,
        frequency_skip=options.get("frequency_skip", feature_size),
        forget_bias=options.get("forget_bias", 1.0),
    )
    return {"cell": memories, "hidden": hs}, output


# Windows side by side or, with a skip below their size, overlapping.
REFERENCES = {"grid_lstm": _grid_lstm}
CASES = [
    Case("grid_lstm", {}),
    Case("grid_lstm", {"forget_bias": 0.0}),
    Case("grid_lstm", {"feature_size": 2}),
    Case("grid_lstm", {"feature_size": 3, "frequency_skip": 1}),
    Case("grid_lstm", {"feature_size": 3, "share_weights": True}),
    Case("grid_lstm", {"feature_size": 3, "use_peepholes": True}),
    Case(
        "grid_lstm",
        {
            "feature_size": 3,
            "frequency_skip": 1,
            "share_weights": True,
            "use_peepholes": True,
            "forget_bias": 0.5,
        },
    ),
]
