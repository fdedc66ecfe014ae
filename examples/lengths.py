"""Series of one's own, of different lengths, from a CSV file: a GRU in both directions tags steps.

python examples/lengths.py

A step is between spikes if one came before and one is to come, which takes both directions. Expect
99 % of the steps of 100 new series to be right (always "no" has 60 %), within 20 seconds on a CPU.
"""

import tempfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnnjax


class Tagger(nn.Module):
    @nn.compact
    def __call__(self, readings, lengths):  # [B, T], [B]
        cells = rnnjax.Bidirectional(rnnjax.GRUCell(16), rnnjax.GRUCell(16))
        return nn.Dense(1)(cells(readings[..., None], lengths=lengths).outputs)[..., 0]  # [B, T]


def write(file):
    rng = np.random.default_rng(0)
    for series in range(400):
        spikes = rng.random(rng.integers(5, 40)) < 0.1  # [T]
        tags = (np.cumsum(spikes) > 0) & (np.cumsum(spikes[::-1])[::-1] > 0)
        lines = np.c_[np.full(len(spikes), series), rng.normal(2 * spikes, 0.3), tags]
        np.savetxt(file, lines, "%g", delimiter=",")


def read(file):
    series, *columns = np.loadtxt(file, delimiter=",", unpack=True)
    lengths = np.unique(series, return_counts=True)[1]
    padded = np.zeros((2, len(lengths), lengths.max()), np.float32)
    padded[:, np.arange(lengths.max()) < lengths[:, None]] = columns
    return *jnp.array(padded), jnp.array(lengths)  # readings [B, T], tags [B, T], lengths [B]


def main():
    with tempfile.TemporaryFile("w+") as file:
        write(file)
        file.seek(0)
        train, new = zip(*(jnp.split(array, [300]) for array in read(file)), strict=True)
    model, optimizer = Tagger(), optax.adam(1e-2)

    def loss(params, readings, tags, lengths):
        logits = jnp.asarray(model.apply(params, readings, lengths))
        counts = jnp.arange(readings.shape[1]) < lengths[:, None]
        accuracy = jnp.mean((logits > 0) == tags, where=counts)
        return optax.sigmoid_binary_cross_entropy(logits, tags).mean(where=counts), accuracy

    @jax.jit
    def train_step(params, state):
        gradients, accuracy = jax.grad(loss, has_aux=True)(params, *train)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, accuracy

    readings, _, lengths = new
    params = model.init(jax.random.key(0), readings, lengths)
    state = optimizer.init(params)
    for step in range(1, 121):
        params, state, accuracy = train_step(params, state)
        if step % 20 == 0:
            print(f"step {step}  accuracy {accuracy:.3f}")
    return loss(params, *new)[1].item()


if __name__ == "__main__":
    print(f"accuracy of new series: {main():.3f}")
