"""Classifiers of sequences by our cells and by flax's; they need JAX and flax alone.

The last hidden state of a recurrent network goes through a linear layer. `params` are
`{"network": ..., "readout": ...}`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import CELLS
from rnnjax.recurrent.bidirectional import Bidirectional
from rnnjax.recurrent.implementations import Implementation
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll

CLASSES = 10

# With which a cell of ours is the one that torch, flax and Keras have.
AS_PEERS: dict[str, dict[str, Any]] = {"gru": {"reset_after": True}, "lstm": {"forget_bias": 0}}

LastHidden: TypeAlias = Callable[[Any, jax.Array], jax.Array]  # weights, [B, T, F] -> [B, D]


def cell_of(kind: str) -> str:
    """Returns which of `CELLS` a kind of network is made of."""
    return {"lstm_2_layers": "lstm", "bilstm": "lstm"}.get(kind, kind)


class Problem(NamedTuple):
    kind: str  # a key of `CELLS`, or lstm_2_layers or bilstm
    hidden: int
    batch: int
    time: int
    features: int

    @property
    def cell(self) -> str:
        return cell_of(self.kind)

    @property
    def layers(self) -> int:
        return 2 if self.kind == "lstm_2_layers" else 1

    @property
    def both_ways(self) -> bool:
        return self.kind == "bilstm"

    def inputs(self) -> np.ndarray:
        shape = (self.batch, self.time, self.features)
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    def labels(self) -> np.ndarray:
        return np.random.default_rng(1).integers(0, CLASSES, self.batch)


def ours(
    problem: Problem, implementation: Implementation, **fields: Any
) -> tuple[nn.Module, LastHidden]:
    """Our module, its cells with these fields, and its last hidden state."""
    options: dict[str, Any] = {"return_outputs": "last", "implementation": implementation}
    fields = AS_PEERS.get(problem.cell, {}) | fields

    def make() -> nn.RNNCellBase:
        return CELLS[problem.cell](problem.hidden, **fields)

    if problem.both_ways:
        both = Bidirectional(make(), make())

        def last_of_both(params: Any, inputs: jax.Array) -> jax.Array:
            result: Any = both.apply({"params": params}, inputs, **options)
            return result.outputs

        return both, last_of_both
    cell = Stack([make() for _ in range(problem.layers)]) if problem.layers > 1 else make()

    def last(params: Any, inputs: jax.Array) -> jax.Array:
        return nn.apply(unroll, cell)({"params": params}, inputs, **options).outputs

    return cell, last


def of_flax(problem: Problem) -> LastHidden:
    """flax.linen.RNN of the cells that flax's own documentation prefers."""
    make: dict[str, Callable[[], nn.RNNCellBase]] = {
        "rnn": lambda: nn.SimpleCell(problem.hidden, parent=None),
        "gru": lambda: nn.GRUCell(problem.hidden, parent=None),
        "lstm": lambda: nn.OptimizedLSTMCell(problem.hidden, parent=None),
    }
    layers = [nn.RNN(make[problem.cell](), parent=None) for _ in range(problem.layers)]
    back = nn.RNN(make[problem.cell](), reverse=True, keep_order=True, parent=None)

    def run(layer: nn.RNN, params: Any, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the last hidden state and all outputs."""
        result: Any = layer.apply({"params": {"cell": params}}, inputs, return_carry=True)
        carry, outputs = result
        return (carry[1] if isinstance(carry, tuple) else carry), outputs

    def last(params: Any, inputs: jax.Array) -> jax.Array:
        if problem.both_ways:
            forward, _ = run(layers[0], params["forward"], inputs)
            return jnp.concatenate([forward, run(back, params["backward"], inputs)[0]], -1)
        hidden = inputs
        for n, layer in enumerate(layers):
            weights = params[f"cells_{n}"] if problem.layers > 1 else params
            hidden, inputs = run(layer, weights, inputs)
        return hidden

    return last


def logits(last_hidden: LastHidden, params: Any, inputs: jax.Array) -> jax.Array:
    hidden = last_hidden(params["network"], inputs)
    readout = params["readout"]
    return hidden.astype(readout["kernel"].dtype) @ readout["kernel"] + readout["bias"]


def mean_loss(
    last_hidden: LastHidden, params: Any, inputs: jax.Array, labels: jax.Array
) -> jax.Array:
    """The mean cross-entropy."""
    log_probabilities = jax.nn.log_softmax(logits(last_hidden, params, inputs))
    # As a product: the gradient of an index is a scatter, whose order of sums GPUs do not keep.
    return -(log_probabilities * jax.nn.one_hot(labels, CLASSES)).sum(-1).mean()


def planned_mib(compiled: Any) -> float:
    """The memory that XLA plans for a compiled program, arguments and results included."""
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    ) / 2**20
