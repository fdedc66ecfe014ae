"""Programs that JAX alone runs: StableHLO, as `jax.export` serialises it."""

import io
import json
import zipfile

import jax
import jax.numpy as jnp
from jax import export

from rnnjax.exporting.inference import Inference

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def to_stablehlo(inference: Inference) -> bytes:
    """Returns a zip archive of two programs, for any number of steps, and a JSON.

    `to_sequences` leads from images `[B, Y, X]`, or in colour `[B, Y, X, C]`, uint8, to sequences
    `[B, T, F]`, `classify` from sequences, float32, and lengths `[B]`, int32, to logits and
    probabilities `[B, K]` by name, of one image or more (JAX refuses 0); `about.json` says what
    there is to know.
    """
    batch, steps = export.symbolic_shape("b, t")
    images = jax.ShapeDtypeStruct((batch, *inference.dataset.image_shape), jnp.uint8)
    num_features = inference.pixel_order.shape[1]
    sequences = jax.ShapeDtypeStruct((batch, steps, num_features), jnp.float32)
    lengths = jax.ShapeDtypeStruct((batch,), jnp.int32)
    to_sequences = export.export(jax.jit(inference.to_sequences), platforms=PLATFORMS)(images)
    classify = export.export(jax.jit(inference.classify), platforms=PLATFORMS)(sequences, lengths)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("to_sequences", bytes(to_sequences.serialize()))
        archive.writestr("classify", bytes(classify.serialize()))
        archive.writestr("about.json", json.dumps(inference.about, indent=2))
    return content.getvalue()
