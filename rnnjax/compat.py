"""Every private or version-dependent API of a library that rnnjax uses, once.

Each function says what breaks if what it uses vanishes. Nothing else in the package imports a name
with an underscore, or asks for a version.
"""

from typing import Any

import jax


def has_interceptors() -> bool:
    """Whether flax has interceptors (`nn.intercept_methods`) that are to see each call of a module.

    flax 0.12 keeps them in a private stack. Without it, a factored cell would have to be scanned
    always, or interceptors would not see its calls.
    """
    from flax.linen.module import _global_interceptor_stack

    return bool(_global_interceptor_stack)


def masked_crc32c(content: bytes) -> int:
    """Returns the checksum of the records of TensorFlow's event files.

    TensorBoard has it in a stub of TensorFlow. Without it, the event files of a run that is resumed
    could not be merged record by record, so that a damaged one would cost the rest of its file.
    """
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return masked_crc32c(content)


def varies_over_devices(tree: Any) -> bool:
    """Whether an array differs between the devices of a `shard_map` that checks this.

    JAX 0.10 to 0.12 have it in an array's type. Without it, a Pallas kernel in such a `shard_map`
    fails with JAX's own error.
    """
    return any(jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(tree))
