"""Regression: a GRU learns the next value of noisy sines, then continues sines on its own.

`python examples/sine.py`: expect an error of 0.2 (always zero would have 0.71), in 20 seconds.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import rnnjax

SEEN, FREE, NOISE = 50, 50, 0.05


class NextValue(nn.Module):
    @nn.compact
    def __call__(self, values, carry=None):  # [B, T]
        outputs, carry = rnnjax.unroll(rnnjax.GRUCell(64), values[..., None], initial_carry=carry)
        return nn.Dense(1)(outputs)[..., 0], carry  # [B, T], of the values one step later


def sines(key, num_steps):  # [B, T], with periods of 20 to 25 steps
    frequency, phase = jax.random.uniform(key, (2, 64, 1))
    return jnp.sin(2 * jnp.pi * (phase + (0.04 + 0.01 * frequency) * jnp.arange(num_steps)))


def main():
    model, optimizer = NextValue(), optax.adam(optax.cosine_decay_schedule(1e-2, 300))

    def loss(params, key):
        values = sines(key, SEEN + 1) + NOISE * jax.random.normal(key, (64, SEEN + 1))
        errors = model.apply(params, values[:, :-1])[0] - values[:, 1:]
        return jnp.mean(errors[:, 20:] ** 2)  # the first values do not tell the sine yet

    @jax.jit
    def train_step(params, state, key):
        error, gradients = jax.value_and_grad(loss)(params, key)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, error

    truth, apply = sines(jax.random.key(0), SEEN + FREE), jax.jit(model.apply)
    params = model.init(jax.random.key(0), truth)
    state = optimizer.init(params)
    for step in range(1, 301):
        params, state, error = train_step(params, state, jax.random.key(step))
        if step % 50 == 0:
            print(f"step {step}  squared error {error:.4f}, of it noise {NOISE**2:.4f}")
    answers, carry = apply(params, truth[:, :SEEN])
    answers = [answers[:, -1:]]
    while len(answers) < FREE:  # each answer is the next input
        answer, carry = apply(params, answers[-1], carry)
        answers.append(answer)
    free = jnp.concatenate(answers, axis=1)
    print(f"truth         {truth[0, SEEN::9]}\nfree-running  {free[0, ::9]}")
    return jnp.sqrt(jnp.mean((free - truth[:, SEEN:]) ** 2)).item()


if __name__ == "__main__":
    print(f"error of the free-running steps: {main():.3f}")
