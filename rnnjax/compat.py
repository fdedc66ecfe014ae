"""Private and undocumented APIs of the libraries that rnnjax uses, each once.

Each function says what breaks if what it uses vanishes. Nothing else in the package imports a name
with an underscore, or asks for a version.
"""

import importlib
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jaxlib
from jax.extend.core import ClosedJaxpr

# Primitives whose equations call a function with their operands, as if it stood in their place.
CALLS = {"jit", "pjit", "closed_call", "remat2", "custom_jvp_call", "custom_vjp_call"}


def observes_calls() -> bool:
    """Whether flax is to see each call of a module: `nn.intercept_methods`, capture_intermediates.

    flax 0.12 keeps both in private stacks. Without them, a factored cell would have to be scanned
    always, or its calls would not be seen.
    """
    from flax.linen.module import _context, _global_interceptor_stack

    return bool(_global_interceptor_stack) or any(_context.capture_stack)


def forget_mapped(function: Callable[..., Any]) -> None:
    """Has JAX drop the programs that `jax.pmap` has made of a function.

    JAX 0.10 and 0.12 hold them in a cache whose entries refer to their own keys, so that no program
    is ever freed. Without its private eviction, each run in one process leaves some 15 MiB.
    """
    from jax._src import pmap

    cache: Any = pmap._cached_shard_map
    cache.evict_function(function)


def masked_crc32c(content: bytes) -> int:
    """Returns the checksum of the records of TensorFlow's event files.

    TensorBoard has it in a stub of TensorFlow. Without it, the event files of a run that is resumed
    could not be merged record by record, so that a damaged one would cost the rest of its file.
    """
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return masked_crc32c(content)


def import_tensorflow() -> None:
    """Imports TensorFlow without Keras, which is a quarter to two fifths of the time, and 170 MB.

    TensorFlow 2.21 imports all of Keras for its own savers, and does without where there is none.
    TensorBoard's hyperparameters, which CLU imports, derive a callback from it in a private module.
    Nothing here uses either. Where these libraries change, Keras is imported again. A program that
    wants it can import it afterwards.
    """
    if "keras" in sys.modules:
        return
    without: Any = None  # which Python takes for a module that is not there
    sys.modules["keras"] = without
    try:
        importlib.import_module("tensorflow")
    finally:
        del sys.modules["keras"]
    callbacks: Any = ModuleType("tensorboard.plugins.hparams._keras")
    callbacks.Callback = None
    sys.modules.setdefault(callbacks.__name__, callbacks)


def write_in(pool: Any, writer: Any) -> None:
    """Has a `clu.metric_writers.AsyncWriter` write in the threads of a pool, instead of its own.

    CLU 0.0.12 keeps its pool in a private attribute. Without it, the writers of two splits would
    write at the same time, which crashes TensorFlow twice in 1,000 runs.
    """
    writer._pool = pool


def varying_axes(tree: Any) -> frozenset[str]:
    """Returns the axes of a `shard_map`, if it checks this, between whose devices an array differs.

    JAX 0.10 to 0.12 have it in an array's type. Without it, a scan or a Pallas kernel in such a
    `shard_map` fails with JAX's own error.
    """
    leaves = jax.tree.leaves(tree)
    return frozenset[str]().union(*(jax.typeof(leaf).manual_axis_type.varying for leaf in leaves))


def called(eqn: Any) -> ClosedJaxpr | None:
    """Returns the function that an equation of a jaxpr calls; None if it is no call.

    JAX 0.10 to 0.12 have it under one of two names, and of some calls without constants. Without
    it, a graph would show a call in the place of what is in it, and no model could be translated.
    """
    if eqn.primitive.name not in CALLS:
        return None
    inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())


class Scan(NamedTuple):
    """An equation of a jaxpr that is a loop over time."""

    body: ClosedJaxpr
    num_consts: int  # the first operands, the same at each step
    num_carry: int  # those after them; the rest are walked over
    reverse: bool  # from the last step to the first


def scan_of(eqn: Any) -> Scan | None:
    """Returns the loop that an equation of a jaxpr is; None if it is none.

    JAX 0.10 counts the operands, JAX 0.12 has them in an undocumented tree. Without it, a run would
    end when its model's graph is drawn, and no cell but ONNX's own could be translated.
    """
    if eqn.primitive.name != "scan":
        return None
    params = eqn.params
    if "num_consts" in params:
        counts = params["num_consts"], params["num_carry"]
    else:
        consts, carry, _ = params["ft_in"].unpack()
        counts = len(consts), len(carry)
    return Scan(params["jaxpr"], *counts, params["reverse"])


class Launched(NamedTuple):
    """What the launcher of a process says of it."""

    address: str | None  # HOST:PORT, where process 0 is to listen; None: there is no launcher
    num_processes: int | None
    process_index: int | None
    local_device_ids: Sequence[int] | None  # of its machine's GPUs, those it is to use; None: all


def launched(patience_seconds: int) -> Launched:
    """Returns what SLURM, Open MPI, a TPU pod or Kubernetes say of this process.

    `jax.distributed.initialize` asks this privately, and then waits for the other processes at
    once. Without it, only a run whose processes are told one by one could have several.

    Args:
      patience_seconds: how long to wait for the name of the first process's machine.
    """
    from jax._src.clusters import ClusterEnv

    own_devices = [] if os.environ.get("JAX_LOCAL_DEVICE_IDS") else None  # JAX reads them itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Kubernetes without its package: an error follows
        address, *numbers, devices = ClusterEnv.auto_detect_unset_distributed_params(
            os.environ.get("JAX_COORDINATOR_ADDRESS"), None, None, own_devices, None,
            patience_seconds,
        )  # fmt: skip
    return Launched(address, *numbers, local_device_ids=devices or None)


def xla_knows(flag: str) -> bool:
    """Whether this jaxlib has an XLA flag, given as `--name=value`.

    XLA has no call that answers this, and ends a process whose XLA_FLAGS name an unknown one. It
    parses flags by their names, which stand as C strings in jaxlib's shared library, as the values
    of an enum do. Where that library goes by another name, no flag is known and a training step on
    a CPU takes 4 to 5 % longer. A known flag takes 5 to 15 ms to find, an unknown one 100 ms.
    """
    name, value = flag.removeprefix("--").split("=")
    needles = [f"\0{name}\0"] + ([] if value in ("true", "false") else [value])
    for library in Path(jaxlib.__file__).parent.glob("*jax_common.*"):
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents,
        ):
            if all(contents.find(needle.encode()) >= 0 for needle in needles):
                return True
    return False


def disable_async_dispatch() -> None:
    """Has the thread that calls a program on a CPU run it, instead of another one.

    The option is not documented, so it may go; then training on a CPU works, but a step of an LSTM
    over 784 steps takes a fifth longer.
    """
    try:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    except AttributeError:  # no such option
        return
