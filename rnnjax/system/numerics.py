"""What the bits of a run depend on beside its settings: devices, instructions, versions, flags."""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

import jax

JAX_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
    "jax_disable_most_optimizations",
)
LIBRARIES = ("jax", "jaxlib", "flax", "optax")


def describe_numerics(num_devices: int) -> dict[str, str]:
    """Returns what decides about the last bits of a training step here, by name.

    XLA divides sums by the devices and, on a CPU, by the cores that the process may use, and takes
    the widest instructions that the CPU has; all this changes the order in which numbers are added.
    """
    device = jax.devices()[0]
    numerics = {
        "devices": f"{num_devices} {device.device_kind}",
        "processes": str(jax.process_count()),
        **versions(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        **{name: str(jax.config.values[name]) for name in JAX_SETTINGS},
    }
    if device.platform == "cpu":
        usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        numerics |= {"cores": str(len(usable(0))), "instructions": processor()}
    return numerics


def versions() -> dict[str, str]:
    """Returns the version of each library whose arithmetic a training step is."""
    return {name: metadata.version(name) for name in LIBRARIES}


def sources() -> str:
    """Returns a digest of rnnjax's modules, in which two checkouts of one version may differ."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def differences(stored: dict[str, str], current: dict[str, str]) -> list[str]:
    """Returns a phrase for each of them that is no longer what it was."""
    return [
        f"{name} was {stored.get(name, 'unknown')!r} and is now {current.get(name, 'unknown')!r}"
        for name in {**stored, **current}
        if stored.get(name) != current.get(name)
    ]


def processor() -> str:
    """Returns a digest of the kind of processor and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = f"{platform.machine()} {platform.processor()} {features}"
    return hashlib.sha256(kind.encode()).hexdigest()[:16]
