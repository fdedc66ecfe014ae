"""Margin charts as TensorBoard reads them: its backend, and a browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.util.tensor_util import make_ndarray

from rnnjax.comparing import margins
from rnnjax.comparing.results import Variant
from tests.browser import WIDE, chromium, visit
from tests.reporting.tensorboard import HEIGHT, served, url
from tests.reporting.test_hparams import read


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, variants: list[Variant]) -> Path:
    folder = tmp_path_factory.mktemp("comparison") / "margins"
    margins.write(folder, variants)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def values(multiplexer: EventMultiplexer, run: str, tag: str) -> list[float]:
    return [make_ndarray(e.tensor_proto).item() for e in multiplexer.Tensors(run, tag)]


def test_tensorboard_reads_mean_and_margin_of_each_variant(
    written: Path, variants: list[Variant]
) -> None:
    """All but the last, of which no seed has ended; by the tags of the one layout."""
    multiplexer = read(written)
    (run,) = multiplexer.PluginRunToTagToContent(custom_scalars.PLUGIN_NAME)
    (event,) = multiplexer.Tensors(run, custom_scalars.CONFIG_SUMMARY_TAG)
    protos: Any = layout_pb2
    layout = protos.Layout.FromString(make_ndarray(event.tensor_proto).item())
    (series,) = layout.category[0].chart[0].margin.series
    runs = [f"margins/{margins.folder_name(variant.name)}" for variant in variants[:-1]]
    assert {*runs} == {*multiplexer.Runs()}
    for run, variant in zip(runs, variants, strict=False):
        curves = np.stack([curve.values for curve in variant.curves])
        mean, sd = curves.mean(0), curves.std(0, ddof=1)
        np.testing.assert_allclose(values(multiplexer, run, series.value), mean, rtol=1e-6)
        np.testing.assert_allclose(values(multiplexer, run, series.lower), mean - sd, rtol=1e-6)
        np.testing.assert_allclose(values(multiplexer, run, series.upper), mean + sd, rtol=1e-6)
        steps = [event.step for event in multiplexer.Tensors(run, series.value)]
        assert steps == [*variant.curves[0].steps]


def test_one_seed_has_no_margin(tmp_path: Path, variants: list[Variant]) -> None:
    alone = variants[0]._replace(curves=variants[0].curves[:1])
    margins.write(tmp_path / "margins", [alone])
    multiplexer = read(tmp_path / "margins")
    for tag in (margins.MEAN, margins.LOW, margins.HIGH):
        expected = alone.curves[0].values.astype(np.float32)
        np.testing.assert_array_equal(values(multiplexer, "margins/lstm", tag), expected)


def test_written_again_it_is_the_same_and_replaces_what_was_there(
    written: Path, variants: list[Variant], tmp_path: Path
) -> None:
    before = content(written)
    assert len(before) == 4
    outside, folder = tmp_path / "outside", tmp_path / "margins"
    outside.mkdir()
    (outside / "precious").touch()
    folder.symlink_to(outside)
    (tmp_path / "margins.tmp").symlink_to(outside)
    margins.write(folder, variants)
    assert content(folder) == before
    (folder / "rnn" / "events.out.tfevents.older").touch()
    margins.write(folder, variants)
    assert content(folder) == before
    assert content(outside) == {"precious": b""}
    margins.write(folder, variants[-1:])  # without curves
    assert content(folder) == {}
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "margins"}


def test_names_are_plain_ones_and_differ() -> None:
    names = ["lstm", "..", ".", "/", "", "a/b", "a:b", "a" * 300, "a" * 299, "試験" * 100]
    folders = [margins.folder_name(name) for name in names]
    assert len({*folders}) == len(names)
    assert folders[0] == "lstm"
    assert all(0 < len(folder.encode()) < 256 for folder in folders)
    assert not [folder for folder in folders if "/" in folder or folder.startswith(".")]


@pytest.mark.process
def test_a_browser_draws_all_variants_into_one_chart(written: Path) -> None:
    with served(written) as address, chromium() as browser:
        viewport = {"width": WIDE, "height": HEIGHT}
        with visit(browser, url(address, "custom_scalars"), viewport=viewport) as (page, _):
            charts = page.locator("tf-custom-scalar-margin-chart-card")
            expect(charts).to_have_count(1)
            expect(charts).to_contain_text("Matches (4)")
            expect(charts.locator("path.area[d*=L]")).to_have_count(4)
