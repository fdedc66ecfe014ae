"""A step over all devices of a mesh: the only place that knows of `jax.pmap` and its successor."""

import functools
import weakref
from collections.abc import Callable
from typing import TypeVar

import jax
from jaxtyping import PyTree

from rnnjax import compat
from rnnjax.system.collectives import AXIS

T = TypeVar("T")


def mapped(
    step: Callable[..., T], mesh: jax.sharding.Mesh, api: str, donate_argnums: tuple[int, ...]
) -> Callable[..., T]:
    """Returns a step of each row of its arguments, on as many devices.

    Args:
      step: a function of arrays; inside it the devices are the mapped axis `AXIS`.
      mesh: the devices of all processes, along `AXIS`. Each process gives and gets arrays that lead
        with the axis of its own devices.
      api: pmap, or jit for what JAX recommends in its place; they make the same program.
      donate_argnums: positions of the arguments whose memory may be reused for the results.
    """
    if api == "jit":
        return _by_jit(step, mesh, donate_argnums)
    by_pmap = jax.pmap(step, AXIS, devices=[*mesh.devices], donate_argnums=donate_argnums)
    # With it goes its program: JAX would keep every one of a process that trains again and again.
    weakref.finalize(by_pmap, compat.forget_mapped, step).atexit = False
    return by_pmap


def _by_jit(
    step: Callable[..., T], mesh: jax.sharding.Mesh, donate_argnums: tuple[int, ...]
) -> Callable[..., T]:
    def step_of_row(*arguments: PyTree) -> PyTree:
        own = jax.tree.map(lambda leaf: leaf[0], arguments)
        return jax.tree.map(lambda leaf: leaf[None], step(*own))

    rows = jax.P(AXIS)
    # That results may differ between devices is not checked: Pallas kernels do not tell.
    by_jit = jax.jit(
        jax.shard_map(step_of_row, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False),
        donate_argnums=donate_argnums,
    )
    if jax.process_count() == 1:
        return by_jit
    everywhere = functools.partial(_on, jax.NamedSharding(mesh, rows))
    here = functools.partial(_on, jax.NamedSharding(mesh.local_mesh, rows))

    def step_of_local_rows(*arguments: PyTree) -> PyTree:
        return jax.tree.map(here, by_jit(*jax.tree.map(everywhere, arguments)))

    return step_of_local_rows


def _on(sharding: jax.NamedSharding, x: jax.Array) -> jax.Array:
    """Returns the array of a row a device whose local rows are those of `x`; nothing is copied."""
    local = [shard.data for shard in x.addressable_shards]
    shape = (sharding.mesh.size, *x.shape[1:])
    return jax.make_array_from_single_device_arrays(shape, sharding, local)
