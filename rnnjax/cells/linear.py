"""Products of a step with its weights, and their derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def joint_product(
    kernel: jax.Array, bias: jax.Array, hidden: jax.Array, inputs: jax.Array
) -> jax.Array:
    """Returns `[x, h] W + b` in the dtype of h: one product for both, as in TF1."""
    product = _joint(kernel, bias, inputs.astype(kernel.dtype), hidden.astype(kernel.dtype))
    return product.astype(hidden.dtype)


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Returns `x @ kernel + bias`, in the kernel's dtype. x: `[..., F]`, kernel: `[F, H]`."""
    return x.astype(kernel.dtype) @ kernel + bias


def join(inputs: jax.Array, hidden: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns `[x, h]`, `[..., F + H]`, in the kernel's dtype."""
    return jnp.concatenate([inputs.astype(kernel.dtype), hidden.astype(kernel.dtype)], axis=-1)


@jax.custom_jvp
def _joint(kernel: jax.Array, bias: jax.Array, x: jax.Array, h: jax.Array) -> jax.Array:
    return jnp.concatenate([x, h], axis=-1) @ kernel + bias


def _differentiate(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """In parts, so that what nobody asks for, as the gradient of the inputs, costs nothing."""
    kernel, bias, x, h = primals
    kernel_dot, bias_dot, x_dot, h_dot = tangents
    product = _joint(kernel, bias, x, h)
    features = x.shape[-1]
    parts = []
    if not isinstance(x_dot, SymbolicZero):
        parts.append(x_dot @ kernel[:features])
    if not isinstance(h_dot, SymbolicZero):
        parts.append(h_dot @ kernel[features:])
    if not isinstance(kernel_dot, SymbolicZero):
        parts.append(_laid_out(x) @ kernel_dot[:features] + _laid_out(h) @ kernel_dot[features:])
    if not isinstance(bias_dot, SymbolicZero):
        parts.append(jnp.broadcast_to(bias_dot, product.shape))
    return product, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(product)


def _laid_out(matrix: jax.Array) -> jax.Array:
    """Returns the matrix, stored by columns: what the transposed product reads row by row.

    On a CPU that product is a sixth faster, its copy included; elsewhere it was not measured.
    """
    if jax.default_backend() != "cpu" or matrix.ndim != 2:
        return matrix
    return jax.lax.optimization_barrier(matrix.T).T


_joint.defjvp(_differentiate, symbolic_zeros=True)
