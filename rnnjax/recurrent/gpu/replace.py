"""A kernel in the place of plain JAX, where it can run; everywhere else what it stands for.

A kernel is a black box to JAX: it has no derivative, cannot be mapped, and runs on one kind of
device. So each goes with the plain function that it equals, which every transformation but the
compilation for that device is left to.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
from jax.interpreters import ad, batching, mlir

PLATFORMS = ("cuda",)  # whose programs have the kernels; with "cpu", which tests add, interpreted

# Whether to interpret it, arguments -> what the plain function returns
Kernel = Callable[..., Any]


def accelerate(plain: Callable[..., Any], kernel: Kernel, *arguments: Any) -> Any:
    """Returns `plain(*arguments)`, which a program compiled for a GPU computes by the kernel.

    Derivatives are the plain function's. Outside of `jit` the kernel is not used.

    Args:
      plain: a pure function of trees of arrays; it closes over no traced array.
      kernel: `kernel(interpret, *arguments)` equals it.
      arguments: trees of arrays.
    """
    leaves, structure = jax.tree.flatten(arguments)
    closed, shape = jax.make_jaxpr(plain, return_shape=True)(*arguments)

    def flat_kernel(interpret: bool, *leaves: Any) -> list[Any]:
        return jax.tree.leaves(kernel(interpret, *structure.unflatten(leaves)))

    found = accelerated_p.bind(*leaves, plain=closed, kernel=flat_kernel)
    return jax.tree.unflatten(jax.tree.structure(shape), found)


def accelerate_transpose(
    plain: Callable[..., Any], kernel: Kernel, residuals: Any, tangents: Any
) -> Any:
    """Returns `plain(residuals, tangents)`, linear in the tangents, and transposed by the kernel.

    Args:
      plain: see `accelerate`.
      kernel: `kernel(interpret, residuals, cotangents)` equals its transpose.
      residuals: a tree of arrays.
      tangents: a tree of floating arrays.
    """
    leaves, structure = jax.tree.flatten(residuals)
    linear, linear_structure = jax.tree.flatten(tangents)
    closed, shape = jax.make_jaxpr(plain, return_shape=True)(residuals, tangents)
    out_structure = jax.tree.structure(shape)

    def flat_kernel(interpret: bool, *both: Any) -> list[Any]:
        cotangents = out_structure.unflatten(both[len(leaves) :])
        found = kernel(interpret, structure.unflatten(both[: len(leaves)]), cotangents)
        if jax.tree.structure(found) != linear_structure:
            raise TypeError(f"the kernel's result {found} has not the form of the tangents")
        return jax.tree.leaves(found)

    count = len(leaves)
    found = linear_p.bind(*leaves, *linear, plain=closed, kernel=flat_kernel, residuals=count)
    return out_structure.unflatten(found)


def _plain(*leaves: Any, plain: Any, **others: Any) -> list[Any]:
    del others
    return jax.extend.core.jaxpr_as_fun(plain)(*leaves)


def _lower(ctx: Any, *leaves: Any, plain: Any, kernel: Kernel) -> Any:
    platforms = ctx.module_context.platforms
    function: Any = functools.partial(_plain, plain=plain)
    if len(platforms) == 1 and platforms[0] in PLATFORMS:
        function = functools.partial(kernel, platforms[0] == "cpu")
    return mlir.lower_fun(function, multiple_results=True)(ctx, *leaves)


def _transpose(
    cotangents: Any, *leaves: Any, plain: Any, kernel: Kernel, residuals: int
) -> list[Any]:
    known, linear = leaves[:residuals], leaves[residuals:]
    shapes = [leaf.aval if ad.is_undefined_primal(leaf) else jax.typeof(leaf) for leaf in linear]
    given = [
        jax.numpy.zeros(aval.shape, aval.dtype) if isinstance(ct, ad.Zero) else ct
        for ct, aval in zip(cotangents, plain.out_avals, strict=True)
    ]

    def transposed(known: Any, given: Any) -> Any:
        function = functools.partial(_plain, *known, plain=plain)
        return jax.linear_transpose(lambda *linear: function(*linear), *shapes)(given)

    def of_kernel(interpret: bool, known: Any, given: Any) -> Any:
        return tuple(kernel(interpret, *known, *given))

    found = accelerate(transposed, of_kernel, list(known), given)
    return [None] * residuals + list(found)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    moving = [
        n for n, dot in enumerate(tangents) if not isinstance(dot, ad.Zero)
    ]  # others may be integers

    def function(*leaves: Any) -> list[Any]:
        every = list(primals)
        for n, leaf in zip(moving, leaves, strict=True):
            every[n] = leaf
        return _plain(*every, **params)

    return jax.jvp(function, [primals[n] for n in moving], [tangents[n] for n in moving])


def _batch(leaves: Any, axes: Any, **params: Any) -> Any:
    found = jax.vmap(functools.partial(_plain, **params), axes)(*leaves)
    return found, [0] * len(found)


def _primitive(name: str) -> Any:
    primitive = jax.extend.core.Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(_plain)
    primitive.def_abstract_eval(lambda *_, plain, **__: plain.out_avals)
    ad.primitive_jvps[primitive] = _jvp
    batching.primitive_batchers[primitive] = _batch
    return primitive


accelerated_p = _primitive("accelerated")
mlir.register_lowering(accelerated_p, _lower)
linear_p = _primitive("accelerated_transpose")
mlir.register_lowering(linear_p, mlir.lower_fun(_plain, multiple_results=True))
ad.primitive_transposes[linear_p] = _transpose
