"""A character model: a GRU learns the Zen of Python by heart.

python examples/characters.py

The carry goes from chunk to chunk of the text, gradients do not: truncated backpropagation. Expect
0.05 bits a character (all the same would be 5.5) and the text, within 20 seconds on a CPU.
"""

import codecs
import this  # prints the text

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import rnnjax

TEXT = codecs.decode(this.s, "rot13")
ALPHABET, CHUNK, NUM_EPOCHS = sorted({*TEXT}), 50, 30


class NextCharacter(nn.Module):
    @nn.compact
    def __call__(self, codes, carry=None):  # [B, T]
        inputs = jax.nn.one_hot(codes, len(ALPHABET))
        outputs, carry = rnnjax.unroll(rnnjax.GRUCell(128), inputs, initial_carry=carry)
        return nn.Dense(len(ALPHABET))(outputs), carry  # [B, T, len(ALPHABET)]


def main():
    codes = jnp.array([[ALPHABET.index(character) for character in TEXT]])  # [1, T]
    chunks = [codes[:, t : t + CHUNK + 1] for t in range(0, len(TEXT) - 1, CHUNK)]
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, NUM_EPOCHS * len(chunks)))
    model = NextCharacter()

    def loss(params, chunk, carry=None):
        logits, carry = model.apply(params, chunk[:, :-1], carry)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, chunk[:, 1:])
        return nats.mean() / jnp.log(2), carry

    @jax.jit
    def train_step(params, state, chunk, carry):
        (bits, carry), gradients = jax.value_and_grad(loss, has_aux=True)(params, chunk, carry)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, carry, bits

    params, apply = model.init(jax.random.key(0), codes), jax.jit(model.apply)
    state = optimizer.init(params)
    for epoch in range(NUM_EPOCHS):
        carry, bits = None, 0.0
        for chunk in chunks:
            params, state, carry, bits = train_step(params, state, chunk, carry)
        print(f"epoch {epoch}  last chunk: {bits:.3f} bits a character")
    sample, (logits, carry) = "The", apply(params, codes[:, :3])
    for key in jax.random.split(jax.random.key(0), 200):
        code = jax.random.categorical(key, logits[:, -1:])
        sample += ALPHABET[code.item()]
        logits, carry = apply(params, code, carry)
    print(sample)
    return loss(params, codes)[0].item()


if __name__ == "__main__":
    print(f"{main():.3f} bits a character")
