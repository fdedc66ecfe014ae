"""What every format is made of, and the programs of `jax.export`, for any batch and any T."""

import functools
import io
import json
import zipfile

import jax
import numpy as np
import pytest
from jax import export

from rnnjax.data.sequences import to_sequences
from rnnjax.exporting.inference import OUTPUTS, pixel_order
from rnnjax.exporting.stablehlo import to_stablehlo
from tests.cases import assert_close, jit_unoptimized
from tests.exporting.models import LENGTHS, inference, sequences
from tests.references.common import Case

KINDS = ("rows", "columns", "pixels", "permuted_pixels")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_have_the_order_of_the_sequences(kind: str) -> None:
    function = functools.partial(to_sequences, kind=kind, permutation_seed=3)
    actual = IMAGES.reshape(3, -1)[:, pixel_order(function)] / np.float32(255)
    assert_close(actual, function(IMAGES), 1e-7)


@pytest.mark.usefixtures("unchecked")  # a symbol that stands for B or T is no int
@pytest.mark.parametrize("kind", ["columns", "permuted_pixels"])
def test_programs_take_any_batch_and_any_number_of_steps(kind: str) -> None:
    num_features = 28 if kind == "columns" else 1
    readout = "last" if kind == "columns" else "attention"
    fields = {"bidirectional": True, "remat": False, "readout": readout}
    model = inference(Case("gru", {}), num_features, **fields)
    read = functools.partial(to_sequences, kind=kind, permutation_seed=3)
    archive = zipfile.ZipFile(io.BytesIO(to_stablehlo(model._replace(to_sequences=read))))
    programs = {
        name: export.deserialize(bytearray(archive.read(name)))
        for name in ("to_sequences", "classify")
    }
    assert json.loads(archive.read("about.json")) == model.about
    assert {"cpu", "cuda", "tpu"} <= {*programs["classify"].platforms}
    np.testing.assert_array_equal(programs["to_sequences"].call(IMAGES), read(IMAGES))
    x = sequences(num_features)
    results = programs["classify"].call(x, LENGTHS)
    assert tuple(results) == OUTPUTS
    assert_close(results, jit_unoptimized(model.classify)(x, LENGTHS), 1e-6)
    shorter = programs["classify"].call(x[:1, :4], LENGTHS[:1])
    assert jax.tree.map(np.shape, shorter) == dict.fromkeys(OUTPUTS, (1, 10))
