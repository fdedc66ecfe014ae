"""The same classifier of sequences in several frameworks, with the same weights.

Each reads the last hidden state of a recurrent network, `[B, D]`, through a linear layer, and is
trained with Adam on the mean cross-entropy. torch draws the weights, as its users do.
"""

import functools
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

from benchmarks.networks import (
    LastHidden,
    Problem,
    logits,
    mean_loss,
    of_flax,
    ours,
    planned_mib,
)
from benchmarks.torch_networks import Classifier
from rnnjax import interop

LEARNING_RATE = 1e-3


class Contender(NamedTuple):
    forward: Callable[[], np.ndarray]  # returns the logits
    step: Callable[[], float]  # takes a training step and returns its loss
    compile_s: float  # of the step, tracing included; 0 where nothing is compiled
    peak_mib: float | None  # of the compiled step, as XLA plans it; None: not known


def of_torch(problem: Problem, classifier: Classifier) -> Contender:
    """torch.nn with its fused Adam."""
    inputs, labels = torch.tensor(problem.inputs()), torch.tensor(problem.labels())
    optimizer = torch.optim.Adam(classifier.parameters(), LEARNING_RATE, fused=True)

    def forward() -> np.ndarray:
        with torch.no_grad():
            return classifier(inputs).numpy()

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(classifier(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contender(forward, step, compile_s=0.0, peak_mib=None)


def of_jax(problem: Problem, last_hidden: LastHidden, weights: Any, readout: Any) -> Contender:
    """A network under jit, with optax's Adam."""
    inputs, labels = jnp.asarray(problem.inputs()), jnp.asarray(problem.labels())
    optimizer = optax.adam(LEARNING_RATE)
    params = jax.tree.map(jnp.array, {"network": weights, "readout": readout})

    def update(params: Any, state: Any, inputs: jax.Array) -> tuple[Any, Any, jax.Array]:
        loss, gradients = jax.value_and_grad(
            lambda params: mean_loss(last_hidden, params, inputs, labels)
        )(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    predict = jax.jit(functools.partial(logits, last_hidden))
    state = optimizer.init(params)
    started = time.perf_counter()
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(params, state, inputs).compile()
    seconds = time.perf_counter() - started
    held: list[Any] = [jax.tree.map(jnp.copy, params), state]

    def step() -> float:
        held[0], held[1], loss = compiled(held[0], held[1], inputs)
        return float(loss)

    return Contender(
        forward=lambda: np.asarray(predict(params, inputs)),
        step=step,
        compile_s=seconds,
        peak_mib=planned_mib(compiled),
    )


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
    classifier = Classifier(problem)
    if name == "torch":
        return of_torch(problem, classifier)
    linear = classifier.readout
    readout = {
        "kernel": linear.weight.detach().numpy().T.copy(),
        "bias": linear.bias.detach().numpy().copy(),
    }
    model, last = ours(problem, "auto")
    params = jax.tree.map(jnp.array, interop.torch.load(model, classifier.recurrent.state_dict()))
    if name == "rnnjax":
        return of_jax(problem, last, params, readout)
    if name == "flax":
        return of_jax(problem, of_flax(problem), interop.linen.save(model, params), readout)
    return of_jax(problem, *of_keras(problem, model, params), readout)
