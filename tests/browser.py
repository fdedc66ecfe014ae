"""A real browser without a window, and what its console complains of."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

WIDE, NARROW = 1280, 390  # pixels: a laptop, a phone


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yields the system's Chromium; tests are skipped where there is none."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        # In a container, as root, Chromium's own sandbox does not start.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Yields a page that has loaded, and the list of its complaints, which may still grow.

    Args:
      browser: of `chromium`.
      url: of the page; of a file, `path.as_uri()`.
      **options: of Playwright's `new_page`, such as `viewport` and `color_scheme`.
    """
    page, complaints = browser.new_page(**options), []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    try:
        page.goto(url)
        yield page, complaints
    finally:
        page.close()


def sideways(page: Page) -> int:
    """Returns by how many pixels a page is wider than its window; 0 if it is not."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
