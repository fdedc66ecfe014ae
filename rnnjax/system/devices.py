"""Many devices: which of them a run has, and how arrays come there and back.

Arrays on the devices lead with the local device axis: state is replicated along it, batches are
split along it. Batch sizes elsewhere are global, over all devices of all processes.
"""

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from rnnjax.config import ParallelConfig
from rnnjax.errors import ConfigError, RunError
from rnnjax.system.collectives import AXIS
from rnnjax.system.limits import host_memory_bytes
from rnnjax.system.mapped import mapped

T = TypeVar("T")


def start(host_devices: int = 0) -> None:
    """Has JAX look for its devices, unless it has already.

    Args:
      host_devices: that it makes of the cores of a CPU; 0: as JAX itself does.

    Raises:
      ConfigError: if it has started with another number of them.
      RunError: if it finds none, or cannot start those that JAX_PLATFORMS asks for.
    """
    if host_devices:
        # JAX refuses it once it has started, which is found out below.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", host_devices)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion where a plugin is not installed
        reason = str(error).splitlines()[0] if str(error) else "JAX has no plugin for it here"
        raise RunError(
            f"no device could be started with JAX_PLATFORMS={jax.config.values['jax_platforms']}: "
            f"{reason}; JAX_PLATFORMS=cpu works everywhere"
        ) from error
    there = jax.local_device_count()
    if jax.default_backend() == "cpu" and host_devices not in (0, there):
        raise ConfigError(
            f"config.parallel.host_devices={host_devices}, but JAX has started with {there} already"
        )


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, of all its processes, each of which calls the same methods."""

    # Along `AXIS`, those of the first process before those of the next, as the parts of a batch:
    # the index of a device says which rows of the batch it has.
    mesh: jax.sharding.Mesh
    api: str = "pmap"  # or jit; they make the same program

    @property
    def count(self) -> int:
        """How many there are, in all processes."""
        return self.mesh.size

    @property
    def num_local(self) -> int:
        """How many there are in this process."""
        return self.mesh.local_mesh.size

    @property
    def on_cpu(self) -> bool:
        """Whether they are the cores of a host."""
        return self.mesh.devices[0].platform == "cpu"

    def check_batch_size(self, batch_size: int, num_microbatches: int = 1) -> None:
        """Raises a ConfigError unless all devices get equal parts of a batch, and can cut them."""
        if batch_size % (self.count * num_microbatches):
            of = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
            times = f" times config.num_microbatches={num_microbatches}"
            raise ConfigError(
                f"config.batch_size={batch_size} is not divisible by the {self.count} devices{of}"
                f"{times if num_microbatches > 1 else ''}"
            )

    def round_up(self, batch_size: int) -> int:
        """Returns the next batch size that splits evenly, for batches that are padded anyway."""
        return -(-batch_size // self.count) * self.count

    def compile_step(
        self, step: Callable[..., T], donate_argnums: tuple[int, ...]
    ) -> Callable[..., T]:
        """Maps a step over all devices; it is compiled when it is first called.

        Args:
          step: a function of arrays; inside it the devices are the mapped axis `AXIS`.
          donate_argnums: positions of the arguments whose memory may be reused for the results.
        """
        compiled = mapped(step, self.mesh, self.api, donate_argnums)
        if not self.on_cpu or self.num_local == 1:
            return compiled
        # Several host devices share few threads. With a second program under way, some devices wait
        # in its collectives for ever: those that they wait for are still in the first program, and
        # have no thread to finish it.
        return lambda *arguments: jax.block_until_ready(compiled(*arguments))

    def replicate(self, tree: T) -> T:
        """Copies a tree to all local devices."""

        def copies(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
                return jnp.stack([x] * self.num_local)
            return np.broadcast_to(np.asarray(x), (self.num_local, *x.shape))

        return jax.device_put(jax.tree.map(copies, tree), self._sharding())

    def shard(self, batch: T, axis: int = 0) -> T:
        """Splits an axis of each array over the local devices and moves the parts there."""

        def split(x: np.ndarray) -> np.ndarray:
            parts = x.reshape(*x.shape[:axis], self.num_local, -1, *x.shape[axis + 1 :])
            return np.moveaxis(parts, axis, 0)

        return jax.device_put(jax.tree.map(split, batch), self._sharding())

    def prefetch(self, batches: Iterable[T], axis: int = 0, size: int = 2) -> Iterator[T]:
        """Shards each batch `size` batches before its use, so that transfers overlap with steps.

        Args:
          batches: arrays on the host.
          axis: of theirs, which is split over the devices.
          size: batches on the devices that are not yet used.
        """
        iterator = (self.shard(batch, axis) for batch in batches)
        queue = collections.deque(itertools.islice(iterator, size))
        while queue:
            yield queue.popleft()
            queue.extend(itertools.islice(iterator, 1))

    def fits(self, arrays: PyTree) -> bool:
        """Whether each local device has room for a copy: a quarter of its memory, if it tells."""
        wanted = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        stats = [device.memory_stats() or {} for device in self.mesh.local_devices]
        return all(4 * wanted <= device.get("bytes_limit", 4 * wanted) for device in stats)

    def memory_bytes(self) -> int | None:
        """Returns how much memory a device of this process has; None if that is unknown."""
        if self.on_cpu:  # host devices share it
            return host_memory_bytes() // self.num_local
        return (self.mesh.local_devices[0].memory_stats() or {}).get("bytes_limit")

    def _sharding(self) -> jax.sharding.Sharding:
        # The layout of the results of a step: with any other, its second call would compile again.
        return jax.NamedSharding(self.mesh.local_mesh, jax.P(AXIS))


def choose(parallel: ParallelConfig | None = None) -> Devices:
    """Returns the devices that the settings ask for; all of them unless they ask for fewer.

    Each process has equally many of its own, as `agreement.check_same_devices` has seen.

    Raises:
      ConfigError: if there are not so many, or they cannot be of all processes alike.
    """
    parallel = parallel or ParallelConfig()
    there, num_processes = jax.device_count(), jax.process_count()
    wanted = parallel.devices or there
    if wanted > there:
        on_cpu = jax.default_backend() == "cpu"
        more = "; config.parallel.host_devices makes more of the cores of a CPU" if on_cpu else ""
        raise ConfigError(
            f"config.parallel.devices={wanted}, but of {jax.devices()[0].device_kind} there are "
            f"{there}{more}"
        )
    if wanted % num_processes:
        raise ConfigError(
            f"config.parallel.devices={wanted} is not divisible by the {num_processes} processes"
        )
    of_processes = [
        sorted(jax.local_devices(process), key=lambda device: device.id)
        for process in range(num_processes)
    ]
    share = wanted // num_processes
    used = [device for of_process in of_processes for device in of_process[:share]]
    return Devices(jax.sharding.Mesh(used, (AXIS,)), parallel.api)


def unreplicate(tree: T) -> T:
    """Returns the first device's copy."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], tree)


def first_copy(tree: T) -> T:
    """Returns the first device's copy, on the host; unlike `unreplicate`, it compiles nothing."""
    # Copies, since a step overwrites the memory of its state.
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data)[0], tree)


class MaxOverProcesses:
    """The maximum of a number over all processes, which all have to ask for equally often.

    With several processes, each call returns the maximum of the call before it: to wait for its own
    would keep the devices waiting too.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices, self._previous = devices, None
        self._maximum = devices.compile_step(lambda number: jax.lax.pmax(number, AXIS), ())

    def __call__(self, number: int) -> int:
        if jax.process_count() == 1:
            return number
        mine = self._devices.replicate(np.int32(number))
        previous, self._previous = self._previous, self._maximum(mine)
        return 0 if previous is None else int(unreplicate(previous))
