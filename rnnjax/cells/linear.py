"""The products of a step with its weights, declared: what goes through which kernel and bias.

A cell returns these declarations from `Cell.products`; `products.multiply` carries them out. That a
product is affine and keeps examples apart holds by construction, so that whatever unrolls the cell
may multiply all of time at once, and place the gradient of a kernel where it costs least.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.tree_util import register_dataclass
from jax.typing import DTypeLike
from jaxtyping import Array, Float


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Inputs:
    """The step's inputs as they are, or some of their features."""

    start: int | None = dataclasses.field(default=None, metadata={"static": True})
    stop: int | None = dataclasses.field(default=None, metadata={"static": True})


@dataclasses.dataclass(frozen=True)
class Linear:
    """A product of operands with a kernel, plus a bias; its subclasses say which.

    Attributes:
      operands: `inputs`, fields of the carry, or products that are declared before this one.
      kernel: an array of the shape that the subclass says.
      bias: `[G H]`; None: none.
      gates: names of the G gates, equal blocks of columns, that the product is split into; empty:
        it stays one array.
    """

    operands: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    kernel: Any  # not Array: JAX's transformations put other leaves in its place
    bias: Any = None
    gates: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    def multiply(self, operands: Sequence[Array], batch_axes: int) -> Array:
        """Returns the product `[..., G H]` in the kernel's dtype."""
        raise NotImplementedError

    def _cast(self, operands: Sequence[Array]) -> list[Array]:
        return [x.astype(self.kernel.dtype) for x in operands]

    def _add_bias(self, product: Array) -> Array:
        return product if self.bias is None else product + align(self.bias, product)


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Dense(Linear):
    """`[a, b, ...] W + bias`: the features of all operands side by side, kernel `[F, G H]`."""

    def multiply(self, operands: Sequence[Array], batch_axes: int) -> Array:
        flat = [jax.lax.collapse(x, batch_axes) for x in self._cast(operands)]
        if (width := sum(x.shape[-1] for x in flat)) != self.kernel.shape[0]:
            raise ValueError(
                f"a kernel of shape {self.kernel.shape} cannot multiply the {width} features of "
                f"{' and '.join(self.operands)}"
            )
        bias = None if self.bias is None else jnp.asarray(self.bias, self.kernel.dtype)
        return _dense(self.kernel, bias, *flat)


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Grouped(Linear):
    """A product for each of N groups, of that group's part of all operands.

    The kernel `[N, F / N, G, H / N]` leads from a group's features to its units, gate by gate.
    """

    def multiply(self, operands: Sequence[Array], batch_axes: int) -> Array:
        num_groups = self.kernel.shape[0]
        groups = [
            x.reshape(*x.shape[:-1], num_groups, x.shape[-1] // num_groups)
            for x in self._cast(operands)
        ]
        joined = jnp.concatenate(groups, axis=-1)
        product = jnp.einsum("...nk,nkgl->...gnl", joined, self.kernel)
        return self._add_bias(jax.lax.collapse(product, batch_axes))


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Convolution(Linear):
    """A convolution of all operands' channels, zeros beyond the edges, strides of 1.

    The kernel is `[*extents, C, G H]`, the operands `[..., *space, channels]`.
    """

    def multiply(self, operands: Sequence[Array], batch_axes: int) -> Array:
        image = jnp.concatenate(self._cast(operands), axis=-1)
        convolve = _multiply_patches if jax.default_backend() == "cpu" else _convolve
        product = convolve(jax.lax.collapse(image, 0, batch_axes), self.kernel)
        return self._add_bias(product.reshape(*image.shape[:-1], product.shape[-1]))


def _convolve(
    image: Float[Array, "N *space C"], kernel: Float[Array, "*extents C D"]
) -> Float[Array, "N *space D"]:
    rank = kernel.ndim - 2
    space = "DHW"[:rank]
    return jax.lax.conv_general_dilated(
        image,
        kernel,
        window_strides=(1,) * rank,
        padding="SAME",
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
    )


def _multiply_patches(
    image: Float[Array, "N *space C"], kernel: Float[Array, "*extents C D"]
) -> Float[Array, "N *space D"]:
    """Returns the same as one product with what the kernel sees at each position.

    A training step on a CPU takes about a tenth of the time so (benchmarks/README.md): inside of a
    loop, XLA has no fast convolution for the layouts of the gradients. A GPU has one.
    """
    extents, space = kernel.shape[:-2], image.shape[1:-1]
    edges = [((extent - 1) // 2, extent // 2) for extent in extents]
    padded = jnp.pad(image, [(0, 0), *edges, (0, 0)])
    seen = [
        padded[(slice(None), *(slice(at, at + n) for at, n in zip(place, space, strict=True)))]
        for place in itertools.product(*map(range, extents))
    ]
    patches = jnp.concatenate(seen, axis=-1)
    product = jax.lax.collapse(patches, 0, patches.ndim - 1) @ kernel.reshape(-1, kernel.shape[-1])
    return product.reshape(*image.shape[:-1], kernel.shape[-1])


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Sum:
    """Several products, added up."""

    terms: tuple[Linear, ...]
    gates: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})


Product = Inputs | Linear | Sum


def is_product(node: object) -> bool:
    return isinstance(node, Product)


def affine(
    operands: Sequence[Float[Array, "... _"]],
    kernel: Float[Array, "F H"],
    bias: Float[Array, " H"],
) -> Float[Array, "... H"]:
    """Returns `[a, b, ...] W + bias` in the kernel's dtype, for a step that is not factored."""
    product = join(operands, kernel.dtype) @ kernel
    return product + align(bias, product)


def align(param: Array, x: Array) -> Array:
    """Returns a parameter with leading axes of size 1, until it has as many axes as x.

    NumPy does so by itself; a user may have forbidden it (JAX_NUMPY_RANK_PROMOTION=raise).
    """
    return jax.lax.broadcast_to_rank(param, x.ndim)


def join(operands: Sequence[Array], dtype: DTypeLike) -> Array:
    """Returns the features of all operands side by side, `[..., F]`."""
    return jnp.concatenate([x.astype(dtype) for x in operands], axis=-1)


@jax.custom_jvp
def _dense(kernel: Array, bias: Array | None, *operands: Array) -> Array:
    joined = operands[0] if len(operands) == 1 else jnp.concatenate(operands, axis=-1)
    product = joined @ kernel
    return product if bias is None else product + align(bias, product)


def _differentiate(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """Operand by operand, so that what nobody asks for, as the inputs' gradient, costs nothing."""
    kernel, bias, *operands = primals
    kernel_dot, bias_dot, *operands_dot = tangents
    product = _dense(kernel, bias, *operands)
    parts, start = [], 0
    for x, x_dot in zip(operands, operands_dot, strict=True):
        rows = slice(start, start := start + x.shape[-1])
        if not isinstance(x_dot, SymbolicZero):
            parts.append(x_dot @ kernel[rows])
        if not isinstance(kernel_dot, SymbolicZero):
            parts.append(_stored_by_columns(x) @ kernel_dot[rows])
    if bias is not None and not isinstance(bias_dot, SymbolicZero):
        parts.append(jnp.broadcast_to(bias_dot, product.shape))
    return product, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(product)


def _stored_by_columns(matrix: Array) -> Array:
    """Returns the matrix, stored by columns, as the transposed product reads it row by row.

    On a CPU that product is a sixth faster, its copy included; elsewhere it was not measured.
    """
    if jax.default_backend() != "cpu" or matrix.ndim != 2:
        return matrix
    return jax.lax.optimization_barrier(matrix.T).T


_dense.defjvp(_differentiate, symbolic_zeros=True)
