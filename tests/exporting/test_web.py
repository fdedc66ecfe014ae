"""The page that runs a model, in a browser without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Page

from rnnjax.config import Config
from rnnjax.data.datasets import GARMENTS, Split
from rnnjax.data.drawn_garments import draw
from rnnjax.errors import ConfigError
from rnnjax.exporting.inference import inference_of
from rnnjax.exporting.runtime import read_runtime
from rnnjax.exporting.web import to_web
from rnnjax.training.diagnostics import beliefs
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.task import build_task
from rnnjax.training.trained import Trained
from tests.browser import NARROW, WIDE, chromium, sideways, visit

pytestmark = pytest.mark.process
SPLIT = Split(*draw(100, seed=1))
READY = "document.getElementById('verdict').textContent.startsWith('Draw')"
SURE = "document.getElementById('verdict').textContent.includes('%')"


@pytest.fixture(scope="module")
def trained() -> Trained:
    config = Config()
    config.data.sequence, config.model.hidden_size = "columns", 8
    task = build_task(config)
    return Trained(Path(), config, task, 2, task.create_state().params)


@pytest.fixture(scope="module")
def opened(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, of which the console has nothing to complain in the end."""
    try:
        runtime = read_runtime()
    except ConfigError as error:
        pytest.skip(str(error))
    file = tmp_path_factory.mktemp("page") / "page.html"
    jaxtyping.config.update("jaxtyping_disable", True)  # a symbol that stands for B or T is no int
    file.write_bytes(to_web(inference_of(trained), SPLIT, runtime))
    jaxtyping.config.update("jaxtyping_disable", False)
    with (
        chromium() as browser,
        visit(browser, file.as_uri(), offline=True) as (page, complaints),
    ):
        yield page
        assert not complaints


@pytest.fixture
def page(opened: Page) -> Page:
    """The page without a picture."""
    opened.click("#clear")
    opened.wait_for_function(READY)
    return opened


def test_a_hundred_images_get_what_training_computes(trained: Trained, page: Page) -> None:
    images = SPLIT.images.reshape(len(SPLIT.images), -1).tolist()
    rows = page.evaluate("images => Promise.all(images.map(window.classify))", images)
    expected = evaluate_trained(trained, SPLIT).predictions.probabilities
    np.testing.assert_allclose(np.array(rows)[:, -1], expected, rtol=0, atol=1e-5)
    task, params = trained.task, trained.params
    of_parts = jax.jit(
        lambda images: beliefs(params, images, model=task.model, to_sequences=task.to_sequences)
    )(SPLIT.images)
    np.testing.assert_allclose(rows, of_parts, rtol=0, atol=1e-5)


def transparent(image: Image.Image) -> Image.Image:
    """Returns a dark garment on nothing."""
    return Image.merge(
        "LA",
        (ImageOps.invert(image), Image.fromarray(255 * (np.asarray(image) > 0).astype(np.uint8))),
    )


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (lambda image: image, 0),
        (ImageOps.invert, 0),
        (transparent, 1),
        (lambda image: image.convert("RGB"), 0),
        (lambda image: image.resize((280, 280), Image.Resampling.NEAREST), 40),
    ],
    ids=["gray", "dark on light", "transparent", "colour", "large"],
)
def test_a_picture_becomes_bright_on_dark(
    page: Page, tmp_path: Path, change: Any, tolerance: int
) -> None:
    image = SPLIT.images[int(np.argmax(SPLIT.labels == GARMENTS.class_names.index("Dress")))]
    change(Image.fromarray(image)).save(tmp_path / "garment.png")
    page.set_input_files("#file", tmp_path / "garment.png")
    page.wait_for_function(SURE)
    pixels = np.array(page.evaluate("window.pixels()")).reshape(28, 28)
    np.testing.assert_allclose(pixels, image, rtol=0, atol=tolerance)


def test_what_is_no_picture_is_said(page: Page, tmp_path: Path) -> None:
    (tmp_path / "garment.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "garment.png")
    page.wait_for_function("document.getElementById('verdict').textContent.includes('no picture')")
    assert page.inner_text("#verdict").startswith("garment.png is no picture")


def test_drawing_is_classified_part_by_part(page: Page) -> None:
    box = page.locator("#picture").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.up()
    page.wait_for_function(SURE)
    pixels = np.array(page.evaluate("window.pixels()")).reshape(28, 28)
    assert pixels[14, 7:14].min() > 200
    assert not pixels[14, 20:].any()
    page.locator("#scrub").fill("5")
    assert page.inner_text("#verdict").startswith("So far: ")
    assert "after column 5 of 28" in page.inner_text(".scrub")
    belief = page.evaluate("window.classify(window.pixels()).then(rows => rows[4])")
    widths = page.eval_on_selector_all(".bar div", "bars => bars.map(bar => bar.style.width)")
    np.testing.assert_allclose([float(w.rstrip("%")) / 100 for w in widths], belief, atol=1e-4)
    page.click("#clear")
    page.wait_for_function(READY)
    assert not np.any(page.evaluate("window.pixels()"))


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_everything_is_seen(page: Page, width: int, color_scheme: Any) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=color_scheme)
    page.click(f"#examples button >> nth={GARMENTS.class_names.index('Bag')}")
    page.wait_for_function(SURE)
    assert sideways(page) == 0
    boxes: dict[str, Any] = {}
    for part in ("#picture", "#belief", "#classes", "#scrub", "#clear", "#open", "#examples"):
        box = boxes[part] = page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    for side in ("y", "height"):  # each belief stands beside its row
        assert abs(boxes["#picture"][side] - boxes["#belief"][side]) < 2
    assert page.locator("#classes tr").count() == len(GARMENTS.class_names)
