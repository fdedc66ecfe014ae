"""The command that makes a page: what it says is what training has found, in a real browser too."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from rnnjax.config import Config, DataConfig
from rnnjax.errors import ConfigError
from rnnjax.report import names, report
from rnnjax.reporting.page.folder import PAGE
from rnnjax.runs.result import Result
from rnnjax.runs.workdir import CONFIG, write_config
from rnnjax.training.gather import read_runs
from tests.browser import NARROW, WIDE, chromium, sideways, visit

pytestmark = pytest.mark.process


class Made(NamedTuple):
    workdir: Path
    result: Result
    page: Path
    done: subprocess.CompletedProcess[str]


def run_report(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rnnjax.report", *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, finished_result: Result
) -> Made:
    """A run with a name that a page must not obey, and the page about it."""
    folder = tmp_path_factory.mktemp("report")
    workdir, out = folder / "<img src=x onerror=alert(1)> $x_1$", folder / "page"
    shutil.copytree(finished_run, workdir)
    done = run_report(Path(__file__).parents[1], workdir, "--out", out)
    return Made(workdir, finished_result, out / PAGE, done)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_a_page_says_what_training_has_found(made: Made) -> None:
    assert made.done.returncode == 0, made.done.stderr
    assert not made.done.stderr
    lines = made.done.stdout.splitlines()
    first, last = (line for line in lines if not re.search(r" \d+ s$", line))  # but for waiting
    assert first == f"{made.workdir.name}: step 12, test accuracy {made.result.test_accuracy:.4f}"
    pictures = [*made.page.parent.glob("*.png")]
    assert last == f"{made.page}, and {len(pictures)} figures as PNG files beside it"
    page = made.page.read_text()
    assert f">{made.result.test_accuracy:.4f}</td>" in page
    assert f">{made.result.test_loss:.4f}</td>" in page
    counts = re.findall(r'data-label="images">(\d+)</td>', page)
    assert counts == ["200"] * 10
    assert [path.name for path in made.page.parents[1].iterdir() if path.name[0] == "."] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_page_in_a_browser(made: Made, browser: Browser, width: int, theme: str) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": theme}
    with visit(browser, made.page.as_uri(), offline=True, **options) as (page, complaints):
        assert sideways(page) == 0
        assert page.title() == f"{made.workdir.name} on garments"
        figures = page.locator("figure").all()
        assert len(figures) == 11
        for figure in figures:
            figure.scroll_into_view_if_needed()
            assert figure.is_visible()
            for part in figure.locator("svg, img, table, figcaption").all():
                box = part.bounding_box()
                assert box is not None
                assert min(box["width"], box["height"]) > 15
                assert 0 <= box["x"] <= width - box["width"]
        # Nothing that is drawn or written lies outside of its drawing or its neighbour's place.
        assert page.evaluate(OUTSIDE) == []
        page.locator("summary").first.click()
        assert sideways(page) == 0
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        text = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        assert (sum(channels(paper)) > sum(channels(text))) == (theme == "light")
        for link in page.locator("nav a").all():
            assert page.locator(link.get_attribute("href") or "").count() == 1
        assert not complaints


OUTSIDE = """
  [...document.querySelectorAll("figure svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(
      text => [text, text.getBoundingClientRect()]);
    const outside = texts.filter(([, box]) =>
      box.left < frame.left - 1 || box.right > frame.right + 1 ||
      box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    const upright = texts.filter(([text]) => !text.getAttribute("transform").includes("-45"));
    const overlapping = upright.filter(([, one], n) => upright.slice(n + 1).some(([, other]) =>
      one.left < other.right - 1 && other.left < one.right - 1 &&
      one.top < other.bottom - 1 && other.top < one.bottom - 1));
    return [...outside, ...overlapping].map(([text]) => text.textContent);
  })
"""


def channels(colour: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", colour)[:3]]


def test_a_page_prints_on_white(made: Made, browser: Browser, tmp_path: Path) -> None:
    with visit(browser, made.page.as_uri(), color_scheme="dark") as (page, complaints):
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')")
        text = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        assert max(channels(text)) < 100
        assert page.evaluate(
            "[...document.querySelectorAll('figure')].every("
            "  figure => getComputedStyle(figure).breakInside === 'avoid')"
        )
        content = page.pdf(path=tmp_path / "page.pdf")
        assert content.startswith(b"%PDF")
        assert not complaints


def test_an_unfinished_run_says_so(made: Made, tmp_path: Path) -> None:
    """And one whose event files are damaged or gone."""
    workdir = tmp_path / "run"
    shutil.copytree(made.workdir, workdir)
    shutil.rmtree(workdir / "checkpoints" / "12")
    (workdir / "result.json").unlink()
    shutil.rmtree(workdir / "test")
    (file,) = (workdir / "train").glob("events*")
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    report([workdir], tmp_path / "page")
    page = (tmp_path / "page" / PAGE).read_text()
    assert "At step 8 of 12." in page
    assert f"run: train/{file.name} is damaged; what is whole was read." in page
    assert "run: test/ has no curves." in page


def test_runs_that_make_no_page_together(made: Made, tmp_path: Path) -> None:
    copied, other = tmp_path / "copied", tmp_path / "other"
    copied.mkdir()
    shutil.copy(made.workdir / CONFIG, copied)
    other.mkdir()
    write_config(other, Config(), "another run")
    with pytest.raises(ConfigError, match="are the same run; name each once"):
        read_runs([made.workdir, copied])
    with pytest.raises(ConfigError, match="are the same run; name each once"):
        read_runs([made.workdir, made.workdir])
    with pytest.raises(ConfigError, match=r"differ, .* on garments and .* on fashion_mnist; make"):
        read_runs([made.workdir, other])


def test_what_is_no_run(made: Made, tmp_path: Path) -> None:
    new, out = tmp_path / "new", made.page.parents[1] / "none"
    new.mkdir()
    write_config(new, Config(data=DataConfig("garments")), "another run")
    for run, words in (
        (tmp_path, f"{tmp_path} holds no run: there is no config.json"),
        (tmp_path / "missing", f"{tmp_path}/missing is no folder"),
        (new, "has no checkpoint; there are: none"),
        (Path("s3://bucket/run"), "RUN=s3:/bucket/run is no folder of a disk"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            report([made.workdir, run], out)
        assert not out.exists()


def test_runs_are_called_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/run/train", "b/run", "b/other"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "run" / "train")
    assert names([Path(".."), tmp_path / "b" / "other"]) == ["run", "other"]
    assert names([Path(".."), Path("../../../b/run")]) == ["a/run", "b/run"]


def test_an_error_is_a_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = run_report(root, tmp_path / "run", "--out", tmp_path)
    assert done.returncode == 2
    words = "holds other files and no earlier report; name a new folder"
    assert done.stderr == f"rnnjax: --out={tmp_path} {words}\n"


def test_a_page_is_not_made_in_a_run(made: Made) -> None:
    before = sorted(made.workdir.iterdir())
    for out in (made.workdir, made.workdir / "page", made.workdir / "train" / "page"):
        with pytest.raises(ConfigError, match="where only the run itself writes"):
            report([made.workdir], out)
    assert sorted(made.workdir.iterdir()) == before
