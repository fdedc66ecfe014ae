"""Convolutional long short-term memory."""

import numpy as np

from tests.references.common import Activation, Array, Arrays, Case, Options, sigmoid, softsign


def convolve(image: Array, kernel: Array) -> Array:
    """Returns TF's convolution with padding "SAME" and stride 1, which does not flip the kernel.

    image: `[*space, channels]`, kernel: `[*taps, channels, units]`. All that lies outside the image
    is zero. Of an even number of taps, one more lies after a position than before it.
    """
    space, taps = image.shape[:-1], kernel.shape[:-2]
    result = np.zeros((*space, kernel.shape[-1]))
    for position in np.ndindex(*space):
        for tap in np.ndindex(*taps):
            source = tuple(
                p + t - (count - 1) // 2 for p, t, count in zip(position, tap, taps, strict=True)
            )
            if all(0 <= s < size for s, size in zip(source, space, strict=True)):
                result[position] += image[source] @ kernel[tap]
    return result


def conv_lstm(
    params: Arrays,
    memory: Array,
    h: Array,
    x: Array,
    *,
    forget_bias: float,
    activation: Activation,
) -> tuple[Array, Array]:
    """A step of the convolutional LSTM on one image: the new memory c and hidden state h.

    Shi et al., "Convolutional LSTM network" (2015), arXiv:1506.04214, equation 3, without its
    peepholes; `tf.contrib.rnn.ConvLSTMCell`: the gates i, j, f, o are convolutions of the channels
    of x and of h together.
    """
    channels, units = x.shape[-1], memory.shape[-1]
    kernel_x = params["kernel"][..., :channels, :]
    kernel_h = params["kernel"][..., channels:, :]

    def gate(which: int) -> Array:
        columns = slice(which * units, (which + 1) * units)
        total = convolve(x, kernel_x[..., columns]) + convolve(h, kernel_h[..., columns])
        return total + params["bias"][columns] if "bias" in params else total

    i, j, f, o = gate(0), gate(1), gate(2), gate(3)
    new_memory = sigmoid(f + forget_bias) * memory + sigmoid(i) * activation(j)
    new_h = activation(new_memory) * sigmoid(o)
    return new_memory, new_h


def _conv_lstm(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    memory, h = conv_lstm(
        params,
        carry["cell"],
        carry["hidden"],
        x,
        forget_bias=options.get("forget_bias", 1.0),
        activation=options.get("activation", np.tanh),
    )
    return {"cell": memory, "hidden": h}, h


# By dimensions; an even number of taps shows where SAME puts the odd zero.
_KERNEL_SHAPES = {
    "conv_lstm_1d": ((2,), (5,)),
    "conv_lstm_2d": ((2, 4), (1, 3)),
    "conv_lstm_3d": ((2, 1, 3), (3, 2, 1)),
}
REFERENCES = dict.fromkeys(_KERNEL_SHAPES, _conv_lstm)
CASES = [
    Case(name, options)
    for name, (shape, other_shape) in _KERNEL_SHAPES.items()
    for options in (
        {},
        {"activation": softsign},
        {"forget_bias": 0.0},
        {"use_bias": False},
        {"kernel_shape": shape},
        {
            "kernel_shape": other_shape,
            "use_bias": False,
            "forget_bias": 0.5,
            "activation": softsign,
        },
    )
]
