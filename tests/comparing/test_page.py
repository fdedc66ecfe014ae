"""The page of a made-up comparison: that it stands alone, and what a browser makes of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from rnnjax.comparing import page, table
from rnnjax.comparing.results import Variant, band
from rnnjax.reporting.page.run_figures import Curve
from tests.browser import NARROW, WIDE, chromium, sideways, visit
from tests.comparing.conftest import HOSTILE
from tests.reporting.test_page import Outline, made_up

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def files(variants: list[Variant]) -> dict[str, bytes]:
    return page.build(variants, table.summarize(variants), [made_up("the best")], "rnnjax <0.1>")


@pytest.fixture(scope="module")
def path(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("comparison") / page.PAGE
    file.write_bytes(files[page.PAGE])
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_a_page_stands_alone(files: dict[str, bytes]) -> None:
    text = files[page.PAGE].decode()
    outline = Outline(text)
    assert outline.tags["script"] == 1
    assert outline.tags["b"] == 0
    assert max(outline.ids.values()) == 1, outline.ids.most_common(3)
    for reference in outline.references:
        assert reference.startswith("data:") or reference.removeprefix("#") in (
            outline.ids if reference.startswith("#") else files
        )
    assert files["curves.png"].startswith(PNG)
    assert table.CHOSEN in text
    assert "indrnn, seed 0: the loss is NaN at step 20" in text
    assert "rnnjax &lt;0.1&gt;" in text


def test_a_page_is_the_same_again(variants: list[Variant], files: dict[str, bytes]) -> None:
    again = page.build(variants, table.summarize(variants), [made_up("the best")], "rnnjax <0.1>")
    assert again == files


def test_a_band_is_of_the_steps_that_all_seeds_have() -> None:
    curves = [
        Curve(np.array([10, 20, 30]), np.array([0.1, 0.2, 0.4])),
        Curve(np.array([10, 15, 30]), np.array([0.3, 0.9, 0.8])),
    ]
    steps, mean, sd = band(curves)
    np.testing.assert_array_equal(steps, [10, 30])
    np.testing.assert_allclose(mean, [0.2, 0.6])
    np.testing.assert_allclose(sd, [0.02**0.5, 0.08**0.5])
    np.testing.assert_array_equal(band(curves[:1]).sd, [0, 0, 0])


def test_a_comparison_without_curves(variants: list[Variant]) -> None:
    bare = [variants[0]._replace(curves=[Curve(np.array([], int), np.array([]))]), variants[4]]
    files = page.build(bare, table.summarize(bare), [], "rnnjax")
    assert [*files] == [page.PAGE]
    assert "There are none." in files[page.PAGE].decode()


def test_of_many_variants_the_picture_has_the_first_and_the_best(variants: list[Variant]) -> None:
    steps = np.array([10, 20])
    first, *others = (
        variants[n % 4]._replace(
            name=f"my_cells.py:Cell{n:02}, learning_rate=0.003, num_layers=3",
            curves=[Curve(steps, np.array([1 - n, n]) / 100)],
        )
        for n in range(13)
    )
    many = [first, *reversed(others)]
    text = page.build(many, table.summarize(many), [], "rnnjax")[page.PAGE].decode()
    assert "Of 13 variants, the first and those that end highest." in text
    picture = text[text.index("<svg") : text.index("</svg>")]
    legend = re.findall(r">(my_cells[^<]+)<", picture)
    assert legend == [many[0].name, *(variant.name for variant in many[1:10])]


def column(of: Page, number: int) -> list[str]:
    cells = of.locator(f".sortable tbody tr > :nth-child({number})").all_text_contents()
    return [re.split(r"[ \N{NO-BREAK SPACE}][±(]", cell)[0] for cell in cells]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_click_on_a_heading_sorts(path: Path, browser: Browser, width: int, theme: str) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": theme}
    with visit(browser, path.as_uri(), offline=True, **options) as (seen, complaints):
        names = column(seen, 1)
        assert names == ["lstm", "gru", HOSTILE, "rnn", "indrnn"]
        assert sideways(seen) == 0
        box = seen.locator(".sortable").bounding_box()
        text = seen.locator("#table h2").bounding_box()
        assert box is not None
        assert text is not None
        assert box["width"] <= text["width"] + 1
        accuracy = seen.get_by_role("button", name="test accuracy")
        accuracy.click()
        highest_first = column(seen, 6)
        assert highest_first == [*sorted(highest_first[:4], reverse=True), "-"]
        assert column(seen, 1)[0] == HOSTILE  # rows move as a whole
        accuracy.press("Enter")
        assert column(seen, 6) == [*highest_first[3::-1], "-"]  # what is unknown comes last again
        assert seen.locator("[aria-sort=ascending]").all_text_contents() == ["test accuracy"]
        seen.get_by_role("button", name="p", exact=True).click()
        assert column(seen, 8) == ["1.000", "<\N{NO-BREAK SPACE}0.001", "-", "-", "-"]
        seen.get_by_role("button", name="variant").click()
        assert column(seen, 1) == [HOSTILE, "gru", "indrnn", "lstm", "rnn"]
        assert seen.locator("[aria-sort]").all_text_contents() == ["variant"]
        assert not complaints


def test_a_page_without_scripts_and_on_paper(path: Path, browser: Browser) -> None:
    with visit(browser, path.as_uri(), java_script_enabled=False) as (seen, complaints):
        assert column(seen, 1)[0] == "lstm"
        assert seen.locator(".sortable caption, .sortable button").count() == 0
        for width in range(NARROW, WIDE, 100):
            seen.set_viewport_size({"width": width, "height": 900})
            assert sideways(seen) == 0
        assert not complaints
    with visit(browser, path.as_uri(), color_scheme="dark") as (seen, complaints):
        seen.emulate_media(media="print")
        assert not seen.locator(".sortable caption").is_visible()
        assert seen.pdf().startswith(b"%PDF")
        assert not complaints
