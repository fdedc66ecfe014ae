"""What a run has written, as TensorBoard shows it in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import WIDE, chromium, visit
from tests.reporting.tensorboard import HEIGHT, TABS, served, url

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(finished_run: Path) -> Iterator[str]:
    with served(finished_run) as address:
        yield address


@pytest.mark.parametrize("name", TABS)
def test_every_tab_shows_the_run(browser: Browser, address: str, name: str) -> None:
    viewport = {"width": WIDE, "height": HEIGHT}
    with visit(browser, url(address, name), viewport=viewport) as (page, complaints):
        TABS[name](page)
        kinds = ("warning", "log")  # some of TensorBoard's own
        assert not [text for text in complaints if not text.startswith(kinds)]
