"""The weights alone, by name: https://huggingface.co/docs/safetensors."""

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save

from rnnjax.exporting.inference import Inference


def to_safetensors(inference: Inference) -> bytes:
    """Returns all parameters by their paths, such as `layer_0/kernel`, and what is to know."""
    flat = flatten_dict(dict(inference.params), sep="/")
    arrays = {name: np.asarray(array, order="C") for name, array in flat.items()}
    return save(arrays, inference.about)
