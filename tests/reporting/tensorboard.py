"""TensorBoard in a real browser: what each of its tabs shows of a run.

python -m tests.reporting.tensorboard RUNS FOLDER

checks every tab of the runs in a folder, as the tests do, and writes a picture of each: those of
docs/screenshots, of two finished runs.
"""

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser import WIDE, chromium, visit

STARTUP_SECONDS = 60
expect.set_options(timeout=30_000)  # milliseconds, on a machine that has more to do
HEIGHT = 900
VIEWPORTS = {"hparams": {"width": 1900, "height": HEIGHT}}  # those that are not `WIDE`


@contextlib.contextmanager
def served(runs: Path) -> Iterator[str]:
    """Yields the address at which TensorBoard shows the runs in a folder."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # Its fast loader is a program of its own, which knows few kinds of summaries.
    command = [sys.executable, "-m", "tensorboard.main", "--load_fast=false"]
    command += [f"--logdir={runs}", f"--port={port}", "--host=localhost"]
    address = f"http://localhost:{port}"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + STARTUP_SECONDS
            while not _answers(f"{address}/data/runs"):
                assert process.poll() is None, "TensorBoard has ended"
                assert time.monotonic() < deadline, "TensorBoard does not answer"
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.read() != b"[]"  # it lists no runs before it has read them
    except urllib.error.URLError:
        return False


def scalars(page: Page) -> None:
    """Curves of accuracy and loss, and what is read of gates, gradients and classes."""
    tab = page.locator("tf-scalar-dashboard")
    for category in ("accuracy", "carry_gradient", "class_accuracy", "gates_closed", "gates_open"):
        expect(tab.locator("button", has_text=re.compile(rf"\b{category}\b"))).to_be_visible()
    _expect_curves(tab.locator("tf-scalar-card", has_text="tag: accuracy"))


def custom_scalars(page: Page) -> None:
    """All splits in one chart, under the names of the terminal."""
    tab = page.locator("tf-custom-scalar-dashboard")
    for title in ("accuracy", "loss", "accuracy by class", "gates, closed", "gates, open"):
        expect(tab.get_by_text(title, exact=True)).to_be_visible()
    charts = tab.locator("tf-custom-scalar-multi-line-chart-card")
    expect(charts).to_have_count(6)
    _expect_curves(charts)
    for split in ("train", "test"):
        expect(charts.first).to_contain_text(re.compile(rf"accuracy \(.*{split}\)"))


def images(page: Page) -> None:
    """Belief row by row, and, where they are folded open, mistakes and what was confused."""
    tab = page.locator("tf-image-dashboard")
    for category in ("confusion", "worst_mistakes", "gates_closed", "carry_gradient"):
        _open_category(tab, category)
    for tag in ("confusion", "worst_mistakes", "belief/0", "gates_closed", "carry_gradient"):
        picture = tab.locator("tf-image-loader", has_text=tag).first.locator("img").first
        expect(picture).to_be_visible()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 100", arg=picture.element_handle()
        )


def graphs(page: Page) -> None:
    """Four boxes that a student understands."""
    tab = page.locator("tf-graph-dashboard")
    boxes = tab.locator("g.node.meta")
    expect(boxes).to_have_count(4)
    assert _names(page) >= {"images", "inputs", "layer_0", "readout", "probabilities", "prediction"}


def graphs_unfolded(page: Page) -> None:
    """In a layer is its loop over time, with what it carries; in the loop's body are the gates."""
    body = "layer_0/scan/body"
    for name in ("layer_0", "layer_0/scan", body):
        _unfold(page, name)
    assert _names(page) >= {"layer_0/kernel", "layer_0/scan/carry", "layer_0/scan/carry_1"}
    gates = {name for name in _names(page) if name.startswith(f"{body}/gate_") and "~" not in name}
    assert gates == {f"{body}/gate_{gate}" for gate in ("input", "forget", "output")}
    page.get_by_role("button", name="Fit to screen").click()


def histograms(page: Page) -> None:
    """Parameters gate by gate, gradients, last hidden states."""
    tab = page.locator("tf-histogram-dashboard")
    for category in ("last_hidden_state", "gradients", "parameters"):
        _open_category(tab, category)
    for gate in ("forget", "input", "output"):
        card = tab.locator("tf-histogram-loader", has_text=f"parameters/layer_0/bias/{gate}").first
        expect(card.locator("path").nth(1)).to_be_attached()  # one for each evaluation
        card.scroll_into_view_if_needed()


def pr_curves(page: Page) -> None:
    """Precision against recall for each class."""
    tab = page.locator("tf-pr-curve-dashboard")
    expect(tab.locator("tf-category-paginated-view", has_text="Ankle boot")).to_be_visible()
    _expect_curves(tab.locator("tf-pr-curve-card"))


def hparams(page: Page) -> None:
    """Runs side by side, those of other seeds as one, with what they came to."""
    tab = page.locator("tf-hparams-dashboard")
    cells = tab.locator("vaadin-grid-cell-content")
    for heading in ("data.name", "test_accuracy", "num_parameters"):
        expect(cells.get_by_text(heading, exact=True)).to_be_visible()
    expect(cells.filter(has_text="epsilon")).to_have_count(0)  # what was not changed comes later
    expect(cells.filter(has_text=re.compile(r"^\s*0\.\d+\s*$")).first).to_be_visible()


def text(page: Page) -> None:
    """The settings, the command, the versions."""
    tab = page.locator("tf-text-dashboard")
    for category, words in (("settings", "model.hidden_size"), ("versions", "jaxlib")):
        _open_category(tab, category)
        expect(tab.locator("tf-markdown-view", has_text=words).first).to_be_visible()


CURVES, MODEL = (scalars, custom_scalars, pr_curves), (graphs, graphs_unfolded, histograms)
TABS: dict[str, Callable[[Page], None]] = {
    tab.__name__: tab for tab in (*CURVES, *MODEL, images, hparams, text)
}


def url(address: str, name: str) -> str:
    """Returns where one of `TABS` is shown, of TensorBoard at an address."""
    return f"{address}/?darkMode=false#{name.removesuffix('_unfolded')}"


def _expect_curves(charts: Locator) -> None:
    """Waits until the first of some charts has a curve of several points for each of two splits."""
    curves = charts.first.locator("path.line[d*=L]")
    expect(curves.nth(1)).to_be_attached()


def _open_category(tab: Locator, name: str) -> None:
    """Unfolds a category of a tab; the first two are unfolded already, if they are small."""
    button = tab.locator("button", has_text=re.compile(rf"^\s*{name}\b"))
    expect(button).to_be_visible()
    if button.get_attribute("open-button") is None:
        button.click()


def _names(page: Page) -> set[str]:
    """Returns the names of all nodes that the graph shows."""
    nodes = page.locator("tf-graph-dashboard g.node")
    return set(nodes.evaluate_all("all => all.map(node => node.dataset.name)"))


def _unfold(page: Page, name: str) -> None:
    """Unfolds a node of the graph."""
    node = page.locator(f'tf-graph-dashboard g.node[data-name="{name}"]')
    # An event of the element, not of the mouse, under which the drawing still moves.
    node.locator(".nodecolortarget").first.dispatch_event("dblclick")
    expect(page.locator(f'tf-graph-dashboard g.node[data-name^="{name}/"]').first).to_be_attached()


def main() -> None:
    runs, folder = map(Path, sys.argv[1:])
    with served(runs) as address, chromium() as browser:
        for name, check in TABS.items():
            viewport = VIEWPORTS.get(name, {"width": WIDE, "height": HEIGHT})
            with visit(browser, url(address, name), viewport=viewport) as (page, complaints):
                check(page)
                print(name, *complaints, sep="\n  ")
                page.wait_for_timeout(1_500)  # until nothing moves
                page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    main()
