"""Many devices: the only place that knows of `jax.pmap`, so that replacing it is a change here.

Arrays on the devices lead with the local device axis: state is replicated along it, batches are
split along it. Batch sizes elsewhere are global, over all devices of all processes.
"""

import collections
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import jax_utils
from jaxtyping import PyTree

from rnnjax import compat
from rnnjax.errors import ConfigError, RunError
from rnnjax.system.limits import host_memory_bytes

AXIS = "devices"
T = TypeVar("T")


def start() -> None:
    """Has JAX look for its devices.

    Raises:
      RunError: if it finds none, or cannot start those that JAX_PLATFORMS asks for.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion where a plugin is not installed
        reason = str(error).splitlines()[0] if str(error) else "JAX has no plugin for it here"
        raise RunError(
            f"no device could be started with JAX_PLATFORMS={jax.config.values['jax_platforms']}: "
            f"{reason}; JAX_PLATFORMS=cpu works everywhere"
        ) from error


def check_batch_size(batch_size: int, num_microbatches: int = 1) -> None:
    """Raises a ConfigError unless all devices get equal parts of the batch, and can cut them up."""
    if batch_size % (jax.device_count() * num_microbatches):
        times = f" times config.num_microbatches={num_microbatches}" if num_microbatches > 1 else ""
        raise ConfigError(
            f"config.batch_size={batch_size} is not divisible by the {jax.device_count()} devices"
            f"{times}"
        )


def memory_bytes() -> int | None:
    """Returns how much memory a device of this process has; None if that is unknown."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":  # host devices share it
        return host_memory_bytes() // jax.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def round_up_to_devices(batch_size: int) -> int:
    """Returns the next batch size that splits evenly, for batches that are padded anyway."""
    return -(-batch_size // jax.device_count()) * jax.device_count()


def compile_step(step: Callable[..., T], donate_argnums: tuple[int, ...]) -> Callable[..., T]:
    """Maps a step over all devices; it is compiled when it is first called.

    Args:
      step: a function of arrays; inside it the devices are the mapped axis `AXIS`.
      donate_argnums: positions of the arguments whose memory may be reused for the results.
    """
    compiled = jax.pmap(step, axis_name=AXIS, donate_argnums=donate_argnums)
    # With it goes its program: JAX would keep every one of a process that trains again and again.
    weakref.finalize(compiled, compat.forget_mapped, step).atexit = False
    if jax.default_backend() != "cpu" or jax.local_device_count() == 1:
        return compiled
    # Several host devices share few threads. With a second program under way, some devices wait in
    # its collectives for ever: those that they wait for are still in the first program, and have no
    # thread to finish it.
    return lambda *arguments: jax.block_until_ready(compiled(*arguments))


def mean(tree: T, axis_name: str | None) -> T:
    """Averages over the mapped devices; `axis_name` None: there is one."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def total(tree: T, axis_name: str | None) -> T:
    """Adds up over the mapped devices; `axis_name` None: there is one."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def gather(x: jax.Array, axis_name: str | None) -> jax.Array:
    """Returns the rows of all mapped devices, one device's after the other's, on each."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def index(axis_name: str | None) -> jax.Array | int:
    """Returns which of the mapped devices this is, in the order of their parts of a batch."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name)


def replicate(tree: T) -> T:
    """Copies a tree to all local devices."""
    count = jax.local_device_count()

    def copies(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.stack([x] * count)
        return np.broadcast_to(np.asarray(x), (count, *x.shape))

    return jax.device_put(jax.tree.map(copies, tree), _sharding())


def fits(arrays: PyTree) -> bool:
    """Whether each local device has room for a copy: a quarter of its memory, if it tells."""
    wanted = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return all(4 * wanted <= device.get("bytes_limit", 4 * wanted) for device in stats)


def unreplicate(tree: T) -> T:
    """Returns the first device's copy."""
    return jax_utils.unreplicate(tree)


def first_copy(tree: T) -> T:
    """Returns the first device's copy, on the host; unlike `unreplicate`, it compiles nothing."""
    # Copies, since a step overwrites the memory of its state.
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data)[0], tree)


def shard(batch: T, axis: int = 0) -> T:
    """Splits an axis of each array over the local devices and moves the parts there."""
    count = jax.local_device_count()

    def split(x: np.ndarray) -> np.ndarray:
        parts = x.reshape(*x.shape[:axis], count, -1, *x.shape[axis + 1 :])
        return np.moveaxis(parts, axis, 0)

    return jax.device_put(jax.tree.map(split, batch), _sharding())


class MaxOverProcesses:
    """The maximum of a number over all processes, which all have to ask for equally often.

    With several processes, each call returns the maximum of the call before it: to wait for its own
    would keep the devices waiting too.
    """

    def __init__(self) -> None:
        self._previous: jax.Array | None = None
        self._maximum = compile_step(lambda number: jax.lax.pmax(number, AXIS), ())

    def __call__(self, number: int) -> int:
        if jax.process_count() == 1:
            return number
        previous, self._previous = self._previous, self._maximum(replicate(np.int32(number)))
        return 0 if previous is None else int(unreplicate(previous))


def _sharding() -> jax.sharding.Sharding:
    # The layout of pmap's own results: with any other, its second call would compile again.
    return jax.NamedSharding(jax.sharding.Mesh(jax.local_devices(), (AXIS,)), jax.P(AXIS))


def prefetch(batches: Iterable[T], axis: int = 0, size: int = 2) -> Iterator[T]:
    """Shards each batch `size` batches before its use, so that transfers overlap with computation.

    Args:
      batches: arrays on the host.
      axis: of theirs, which is split over the devices.
      size: batches on the devices that are not yet used.
    """
    iterator = (shard(batch, axis) for batch in batches)
    queue = collections.deque(itertools.islice(iterator, size))
    while queue:
        yield queue.popleft()
        queue.extend(itertools.islice(iterator, 1))
