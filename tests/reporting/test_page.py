"""A page of made-up figures: that it stands alone, and what it does to a folder."""

import io
import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.reporting.page import charts, document, style, together
from rnnjax.reporting.page.folder import MARK, PAGE, check_folder, write_folder
from rnnjax.reporting.page.run_figures import (
    Calibration,
    ClassTable,
    Curve,
    Inside,
    Mistake,
    RunFigures,
    Trajectories,
)

HOSTILE = '"><script>alert(1)</script><!-- ${x}$ 試験'
CLASSES = ("T-shirt/top", "Trouser", "<b>Coat")


def made_up(name: str, *, is_bare: bool = False) -> RunFigures:
    """The figures of a run that never was, with the values that charts find hard."""
    random = np.random.default_rng(0)
    shares, counts = random.random(3), np.array([9, 0, 3])
    curve = Curve(np.array([10, 20]), np.array([1.0, 0.5]))
    fast_then_slow = Curve(np.array([10, 20]), np.array([0.1, 100.0]))
    gate = {"layer_0": {"forget": np.zeros(5)}}
    return RunFigures(
        name=name,
        dataset="garments",
        settings=stored_config.to_dict(Config(num_steps=40)),
        step=20,
        seconds=3,
        numerics={"devices": "1 cpu", "jax": "0.10"},
        num_parameters=1_234,
        accuracy=0.5,
        loss=1.5,
        curves={
            "train": {"loss": curve, "steps_per_second": fast_then_slow},
            "test": {"loss": Curve(np.array([20]), np.array([np.nan])), "accuracy": curve},
        }
        if not is_bare
        else {},
        unreadable=() if not is_bare else ("train/ has no curves",),
        classes=ClassTable(CLASSES, shares, shares, shares, counts, np.diag(counts)),
        calibration=Calibration(0.1, np.zeros(15), np.zeros(15), np.arange(15)),
        mistakes=[Mistake(np.zeros((28, 28), np.uint8), CLASSES[2], CLASSES[0], 0.9)]
        * (not is_bare),
        accuracy_by_part=np.linspace(0, 0.5, 28),
        num_part_images=200,
        trajectories=Trajectories(random.random((3, 28, 2)), np.array([0.6, 0.1]), CLASSES),
        inside=Inside(
            {} if is_bare else gate,
            {} if is_bare else gate,
            {f"layer_{n}": np.array([0, 0, 1e-40, 1e-3, 1]) * (n != 1) for n in range(8)},
        ),
    )


class Outline(HTMLParser):
    """The tags of a page, with what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.references: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("src", "href", "xlink:href"):
                self.references.add(value or "")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return document.build([made_up(HOSTILE), made_up("_", is_bare=True)], "rnnjax <0.1>")


def test_a_page_stands_alone(files: dict[str, bytes]) -> None:
    page = files[PAGE].decode()
    outline = Outline(page)
    assert outline.tags["script"] == outline.tags["b"] == outline.tags["link"] - 1 == 0
    assert max(outline.ids.values()) == 1, outline.ids.most_common(3)
    for reference in outline.references:
        assert reference.startswith("data:") or reference.removeprefix("#") in (
            outline.ids if reference.startswith("#") else files
        )
    assert "url(http" not in page
    assert outline.tags["figure"] == outline.tags["figcaption"] == page.count("<h3>")
    # An image or a drawing says what it shows; each figure but the tables is a file too.
    assert page.count('<svg role="img" aria-label="') == outline.tags["svg"]
    assert page.count('<img alt="is ') == outline.tags["img"] == 1
    assert len(files) - 1 == outline.tags["svg"] + 1
    for name, content in files.items():
        if name != PAGE:
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.format == "PNG"


def test_what_a_page_says(files: dict[str, bytes]) -> None:
    page = files[PAGE].decode()
    for words in (
        "20 of 40",
        "At step 20 of 40.",
        "_: train/ has no curves.",
        "no gates that could be looked into",
        "Of 8 layers, the first 6.",
        "The settings that differ between the runs: none.",
        "all test images right",
        "<p>rnnjax &lt;0.1&gt;</p>",
    ):
        assert words in page, words


def test_the_settings_of_many_runs() -> None:
    runs = [made_up(f"run_{n}") for n in range(7)]
    runs = [run._replace(settings={**run.settings, "seed": n}) for n, run in enumerate(runs)]
    few, many = together.settings(runs[:3]), together.settings(runs)
    assert '<th scope="row">seed</th><td data-label="run_0">0</td>' in few
    assert '<th scope="row">run_6</th><td data-label="seed">6</td>' in many
    for part in (few, many):
        assert '<th scope="row">num_steps</th><td data-label="value">40</td>' in part


def test_long_names_are_cut_in_the_middle_and_never_alike() -> None:
    names = ["lstm", "a" * 20, *(f"fashion_mnist_lstm_256_{end}" for end in ("adam", "sgd"))]
    names += [f"{'a' * 15}{n}{'b' * 15}" for n in range(12)]
    actual = style.short(names, 20)
    assert actual[:4] == [*names[:2], "fashion_mn\u2026_256_adam", "fashion_mn\u2026m_256_sgd"]
    assert actual[4] == "aaaaaaaa\u2026bbbbbbb (1)"
    assert actual[15] == "aaaaaaa\u2026bbbbbbb (12)"
    assert len({*actual}) == len(actual)
    assert max(map(len, actual)) <= 20


def test_a_drawing_is_the_same_again() -> None:
    with style.drawing():
        one, other = (
            style.svg(charts.gradient_norms({"layer_0": np.ones(5)}), "name", "") for _ in range(2)
        )
    assert one == other


def test_the_drawings_have_no_colour_of_one_paper(files: dict[str, bytes]) -> None:
    drawings = re.findall(r"<svg .*?</svg>", files[PAGE].decode(), flags=re.DOTALL)
    assert drawings
    for drawing in drawings:
        assert not re.findall(r"(?:fill|stroke): #\w+", drawing)


# How the colour-blind see, in linear RGB: Machado, Oliveira & Fernandes, 2009.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(TO_XYZ @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_can_be_told_from_paper_and_from_each_other(theme: int) -> None:
    series = [linear(colours[theme]) for colours in style.SERIES.values()]
    paper, ink = (TO_XYZ[1] @ linear(style.COLOURS[name][theme]) for name in ("paper", "ink"))
    for luminance, least in ((ink, 7), *((TO_XYZ[1] @ colour, 3) for colour in series)):
        high, low = max(luminance, paper), min(luminance, paper)
        assert (high + 0.05) / (low + 0.05) >= least
    for matrix in EYES.values():
        seen = [lab(np.array(matrix) @ colour) for colour in series]
        for (n, one), (m, other) in itertools.combinations(enumerate(seen), 2):
            # Of many series, lines are told apart by their markers or their order too.
            assert np.linalg.norm(one - other) > (20 if max(n, m) < 6 else 10), (n, m)


def test_a_page_is_made_again_and_takes_its_own_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    one = {PAGE: f'{MARK}<a href="old.png">old</a>'.encode(), "old.png": b"", "new.png": b"1"}
    check_folder(folder)
    write_folder(folder, one)
    (folder / "notes.txt").write_text("mine")
    (folder / "mine.png").write_text("mine")
    check_folder(folder)
    two = {PAGE: f'{MARK}<a href="new.png">new</a>'.encode(), "new.png": b"2"}
    write_folder(folder, two)
    assert {path.name for path in folder.iterdir()} == {*two, "notes.txt", "mine.png"}
    assert {name: (folder / name).read_bytes() for name in two} == two
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / PAGE).write_text("<h1>mine</h1>")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, words in (
        ("site", "holds other files and no earlier report"),
        ("file", "is no folder"),
        ("link", "is no folder"),
        ("missing/page", "cannot be written: No such file"),
    ):
        with pytest.raises(ConfigError, match=f"--out=.*{name} {words}"):
            check_folder(tmp_path / name)


def test_what_cannot_be_written_leaves_all_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    with pytest.raises(ConfigError, match="cannot be written"):
        write_folder(folder, {PAGE: b"page", "a/b.png": b""})
    assert not [*tmp_path.iterdir()]
