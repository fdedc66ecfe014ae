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
    features, and at each of its places an LSTM along time, with a state of its own there, and an
    LSTM along frequency, whose state comes from the place before and starts at zero, see the
    window and the hidden states of both, and with peepholes the memories of both. Without
    weights of its own the LSTM along frequency has those along time. The output is the hidden
    states along time and along frequency, place by place.
    """
    places, units = memories.shape

    def name(of: str, what: str) -> str:
        return f"{of}_{what}" if f"{of}_{what}" in params else f"time_{what}"

    def gate(of: str, which: int, seen: Array) -> Array:
        columns = slice(which * units, (which + 1) * units)
        return seen @ params[name(of, "kernel")][:, columns] + params[name(of, "bias")][columns]

    def peephole(of: str, row: int, memory_frequency: Array, memory_time: Array) -> Array:
        if "time_peepholes" not in params:
            return np.zeros(units)
        of_frequency, of_time = params[name(of, "peepholes")][row]
        return of_frequency * memory_frequency + of_time * memory_time

    new_memories, new_hs, outputs = [], [], []
    memory_frequency, h_frequency = np.zeros(units), np.zeros(units)
    for place in range(places):
        start = place * frequency_skip
        window = x[start : start + feature_size]
        memory_time, h_time = memories[place], hs[place]
        seen = np.concatenate([window, h_time, h_frequency])

        new_memory = {}
        for of, memory in (("frequency", memory_frequency), ("time", memory_time)):
            i = gate(of, 0, seen) + peephole(of, 0, memory_frequency, memory_time)
            j = gate(of, 1, seen)
            f = gate(of, 2, seen) + peephole(of, 1, memory_frequency, memory_time)
            new_memory[of] = sigmoid(f + forget_bias) * memory + sigmoid(i) * np.tanh(j)
        new_h = {}
        for of in ("frequency", "time"):
            o = gate(of, 3, seen) + peephole(of, 2, new_memory["frequency"], new_memory["time"])
            new_h[of] = sigmoid(o) * np.tanh(new_memory[of])

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
    Case("grid_lstm", {"feature_size": 2}, inputs=(6,)),
    Case("grid_lstm", {"feature_size": 3, "frequency_skip": 1}, inputs=(6,)),
    Case("grid_lstm", {"feature_size": 3, "share_weights": True}, inputs=(6,)),
    Case("grid_lstm", {"feature_size": 3, "use_peepholes": True}, inputs=(6,)),
    Case(
        "grid_lstm",
        {
            "feature_size": 3,
            "frequency_skip": 1,
            "share_weights": True,
            "use_peepholes": True,
            "forget_bias": 0.5,
        },
        inputs=(6,),
    ),
]
