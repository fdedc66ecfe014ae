"""Recurrent networks in JAX: pure cells, unrolled with `jax.lax.scan`, trained with `jax.pmap`."""

__version__ = "0.1.0"
