"""The same classifier of sequences in several frameworks, with the same weights.

Each reads the last hidden state of a recurrent network, `[B, D]`, through a linear layer, and is
trained with Adam on the mean cross-entropy. torch draws the weights, as its users do.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import torch

from rnnjax import interop
from rnnjax.cells import BasicRNNCell, GRUCell, LSTMCell
from rnnjax.recurrent.bidirectional import Bidirectional
from rnnjax.recurrent.implementations import Implementation
from rnnjax.recurrent.stack import Stack
from rnnjax.recurrent.unroll import unroll

CLASSES, LEARNING_RATE = 10, 1e-3

# Ours, by what runs the steps.
IMPLEMENTATIONS: dict[str, Implementation] = {
    "rnnjax": "auto",
    "rnnjax_fused": "fused",
    "rnnjax_cudnn": "cudnn",
}


class Problem(NamedTuple):
    kind: str  # rnn, gru, lstm, lstm_2_layers or bilstm
    hidden: int
    batch: int
    time: int
    features: int

    @property
    def cell(self) -> str:
        return {"lstm_2_layers": "lstm", "bilstm": "lstm"}.get(self.kind, self.kind)

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


class Contender(NamedTuple):
    forward: Callable[[], np.ndarray]  # returns the logits
    step: Callable[[], float]  # takes a training step and returns its loss
    compile_s: float  # of the step, tracing included; 0 where nothing is compiled
    peak_mib: float | None  # of the compiled step, as XLA plans it; None: not known


def of_torch(problem: Problem, network: torch.nn.Module, readout: torch.nn.Linear) -> Contender:
    """torch.nn with its fused Adam; on a GPU, if it finds one, by cuDNN, as it does by itself."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, readout = network.to(device), readout.to(device)
    inputs = torch.tensor(problem.inputs(), device=device)
    labels = torch.tensor(problem.labels(), device=device)
    optimizer = torch.optim.Adam(
        [*network.parameters(), *readout.parameters()], LEARNING_RATE, fused=True
    )

    def logits() -> torch.Tensor:
        _, state = network(inputs)
        last = state[0] if isinstance(state, tuple) else state  # [layers * directions, B, H]
        return readout(torch.cat([*last[-2:]], -1) if problem.both_ways else last[-1])

    def forward() -> np.ndarray:
        with torch.no_grad():
            return logits().cpu().numpy()

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contender(forward, step, compile_s=0.0, peak_mib=None)


def of_jax(
    problem: Problem, last_hidden: Callable[[Any, jax.Array], jax.Array], weights: Any, readout: Any
) -> Contender:
    """A network `last_hidden(weights, inputs)` under jit, with optax's Adam."""
    inputs, labels = jnp.asarray(problem.inputs()), jnp.asarray(problem.labels())
    optimizer = optax.adam(LEARNING_RATE)
    params = jax.tree.map(jnp.array, {"network": weights, "readout": readout})

    def logits(params: Any, inputs: jax.Array) -> jax.Array:
        hidden = last_hidden(params["network"], inputs)
        return hidden @ params["readout"]["kernel"] + params["readout"]["bias"]

    def update(params: Any, state: Any, inputs: jax.Array) -> tuple[Any, Any, jax.Array]:
        def mean_loss(params: Any) -> jax.Array:
            predicted = logits(params, inputs)
            return optax.softmax_cross_entropy_with_integer_labels(predicted, labels).mean()

        loss, gradients = jax.value_and_grad(mean_loss)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    predict = jax.jit(logits)
    state = optimizer.init(params)
    started = time.perf_counter()
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(params, state, inputs).compile()
    seconds = time.perf_counter() - started
    memory: Any = compiled.memory_analysis()
    held: list[Any] = [jax.tree.map(jnp.copy, params), state]

    def step() -> float:
        held[0], held[1], loss = compiled(held[0], held[1], inputs)
        return float(loss)

    return Contender(
        forward=lambda: np.asarray(predict(params, inputs)),
        step=step,
        compile_s=seconds,
        peak_mib=(
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
        / 2**20,
    )


def ours(
    problem: Problem, implementation: Implementation
) -> tuple[nn.Module, Callable[[Any, jax.Array], jax.Array]]:
    """Our module, and its last hidden state as a function of params and inputs."""
    options: dict[str, Any] = {"return_outputs": "last", "implementation": implementation}
    made: dict[str, Callable[[], nn.RNNCellBase]] = {
        "rnn": lambda: BasicRNNCell(problem.hidden),
        "gru": lambda: GRUCell(problem.hidden, reset_after=True),
        "lstm": lambda: LSTMCell(problem.hidden, forget_bias=0),
    }
    make = made[problem.cell]
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


def of_flax(problem: Problem) -> Callable[[Any, jax.Array], jax.Array]:
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


def of_keras(problem: Problem, model: nn.Module, params: Any) -> tuple[Any, Any]:
    """Keras' layers on JAX: returns the function and its weights."""
    make = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
    layers = [
        make[problem.cell](problem.hidden, return_sequences=n + 1 < problem.layers)
        for n in range(problem.layers)
    ]
    if problem.both_ways:
        layers = [keras.layers.Bidirectional(layers[0])]
    network = keras.Sequential([keras.Input((problem.time, problem.features)), *layers])
    network.set_weights(interop.keras.save(model, params))
    fixed = [variable.value for variable in network.non_trainable_variables]

    def last(weights: Any, inputs: jax.Array) -> jax.Array:
        return network.stateless_call(weights, fixed, inputs)[0]

    return last, [variable.value for variable in network.trainable_variables]


def build(name: str, problem: Problem) -> Contender:
    """Returns the contender of this name, with the weights that torch draws."""
    torch.manual_seed(0)
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[problem.cell]
    network = kind(
        problem.features,
        problem.hidden,
        problem.layers,
        batch_first=True,
        bidirectional=problem.both_ways,
    )
    linear = torch.nn.Linear(problem.hidden * (2 if problem.both_ways else 1), CLASSES)
    if name == "torch":
        return of_torch(problem, network, linear)
    readout = {
        "kernel": linear.weight.detach().numpy().T.copy(),
        "bias": linear.bias.detach().numpy().copy(),
    }
    model, last = ours(problem, IMPLEMENTATIONS.get(name, "auto"))
    params = jax.tree.map(jnp.array, interop.torch.load(model, network.state_dict()))
    if name in IMPLEMENTATIONS:
        return of_jax(problem, last, params, readout)
    if name == "flax":
        return of_jax(problem, of_flax(problem), interop.linen.save(model, params), readout)
    return of_jax(problem, *of_keras(problem, model, params), readout)
