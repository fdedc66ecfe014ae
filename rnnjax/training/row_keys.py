"""Random keys for a part of a batch, whose rows draw what they would draw in the whole batch.

So dropout does not depend on the number of devices that share a batch, nor on that of
microbatches. JAX's own Threefry keys hash an entry's position in the array that is drawn
(`jax_threefry_partitionable`, JAX's default); a key here adds the rows that are before this part,
and otherwise is the same: for the first part, to the last bit.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry2x32_p, threefry_prng_impl
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

Words = UInt32[Array, " 3"]  # two of Threefry's key, and the first row
BITS = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}


def key_of_rows(key: PRNGKeyArray, first_row: int | Int[Array, ""]) -> PRNGKeyArray:
    """Returns a key for the rows of a batch from `first_row` on.

    Args:
      key: of the whole batch.
      first_row: the rows before this part. Any array that is drawn with the key, or with one split
        or folded from it, is of this part of the batch: its first axis is that of the rows. A
        number without axes is the same for all parts.
    """
    words = [*jax.random.key_data(key), jnp.asarray(first_row, jnp.uint32)]
    return jax.random.wrap_key_data(jnp.stack(words), impl=_ROW_KEYS)


def _seed(seed: Array) -> Words:
    return _with_row(threefry_prng_impl.seed(seed), jnp.uint32(0))


def _split(words: Words, shape: tuple[int, ...]) -> UInt32[Array, "*S 3"]:
    return _with_row(threefry_prng_impl.split(words[:2], shape), words[2])


def _fold_in(words: Words, data: Array | int) -> Words:
    return _with_row(threefry_prng_impl.fold_in(words[:2], data), words[2])


def _with_row(keys: UInt32[Array, "*S 2"], row: UInt32[Array, ""]) -> UInt32[Array, "*S 3"]:
    return jnp.concatenate([keys, jnp.broadcast_to(row, (*keys.shape[:-1], 1))], -1)


def _random_bits(words: Words, bit_width: int, shape: tuple[int, ...]) -> Array:
    """Returns uniform bits, `shape`: JAX's own of the rows from `words[2]` on.

    Of the whole batch there may be 2^32 entries; beyond, bits repeat.
    """
    entries_before = words[2] * jnp.uint32(math.prod(shape[1:])) if shape else jnp.uint32(0)
    entries = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + entries_before
    high, low = threefry2x32_p.bind(words[0], words[1], jnp.zeros_like(entries), entries)
    if bit_width == 64:
        return high.astype(jnp.uint64) << jnp.uint64(32) | low.astype(jnp.uint64)
    return (high ^ low).astype(BITS[bit_width])


_ROW_KEYS = define_prng_impl(
    key_shape=(3,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_of_rows",
    tag="rows",
)
