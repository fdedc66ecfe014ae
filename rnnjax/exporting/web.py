"""A page that runs a model in a browser, in one file, which needs no network."""

import base64
import gzip
import json
import re
from importlib import resources
from typing import Any

import numpy as np

from rnnjax import exporting
from rnnjax.data.datasets import CLASS_NAMES, Split
from rnnjax.data.sequences import PARTS
from rnnjax.exporting.inference import Inference
from rnnjax.exporting.onnx import to_onnx
from rnnjax.exporting.runtime import Runtime
from rnnjax.stored_config import short

MANNERS = {  # of reading a picture, by the kind of sequence
    "rows": "row by row",
    "columns": "column by column",
    "pixels": "pixel by pixel",
    "permuted_pixels": "pixel by pixel, in a random order",
}


def to_web(inference: Inference, split: Split, runtime: Runtime) -> bytes:
    """Returns a page of HTML that classifies what is drawn or dropped.

    Args:
      inference: the model.
      split: the test split; the page has the first image of each class.
      runtime: that runs ONNX in a browser.
    """
    parts = {
        "/* page.css */": _read("page.css"),
        "/* page.js */": _read("page.js"),
        "about.json": json.dumps(_about(inference, split)).replace("<", "\\u003c"),
        "model.onnx": _pack(to_onnx(inference)),
        "runtime.wasm": _pack(runtime.wasm),
        "runtime.mjs": _pack(runtime.module),
    }
    places = "|".join(map(re.escape, parts))
    return re.sub(places, lambda place: parts[place[0]], _read("page.html")).encode()


def _read(name: str) -> str:
    return resources.files(exporting).joinpath(name).read_text(encoding="utf-8")


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _about(inference: Inference, split: Split) -> dict[str, Any]:
    """Returns what the page says and shows of a model, and how it makes sequences."""
    model, kind = inference.model, inference.config.data.sequence
    part = PARTS[kind]
    step = inference.about["step"]
    layers = f"{model.num_layers} layers" if model.num_layers > 1 else "one layer"
    both = ", in both directions" if model.bidirectional else ""
    firsts = [int(np.argmax(split.labels == k)) for k in range(len(CLASS_NAMES))]
    return {
        "classes": CLASS_NAMES,
        "pixel_order": inference.pixel_order.tolist(),
        "kind": kind,
        "part": part,
        "summary": f"A recurrent network ({short(model.cell)}, {layers} of {model.hidden_size} "
        f"units{both}) reads a picture {MANNERS[kind]}. It was trained for {step} steps, and "
        "runs in this page: nothing that you draw leaves it.",
        "belief": f"Beside the picture: what the network believed after each {part}, a column for "
        "each class, the stronger the colour the surer. Move the slider to go back.",
        "examples": [
            {"label": k, "image": base64.b64encode(split.images[n].tobytes()).decode()}
            for k, n in enumerate(firsts)
        ],
    }
