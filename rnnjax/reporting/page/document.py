"""The page as a whole: one HTML file that needs no other, and the PNG files beside it."""

import re
from collections.abc import Sequence
from html import escape
from importlib import resources

from rnnjax.reporting.page import one_run, style, together
from rnnjax.reporting.page.folder import MARK, PAGE
from rnnjax.reporting.page.markup import Gallery, folded
from rnnjax.reporting.page.run_figures import RunFigures

HEADINGS = re.compile(r'<section id="([^"]+)"><h2>(.*?)</h2>')


def build(runs: Sequence[RunFigures], maker: str) -> dict[str, bytes]:
    """Returns the files of a page about runs on one data set, by name.

    Args:
      runs: their figures.
      maker: the program and its version.
    """
    gallery = Gallery()
    with style.drawing():
        content = [
            together.overview(runs),
            together.settings(runs),
            together.curves(runs, gallery),
            *(one_run.section_of(run, n, gallery) for n, run in enumerate(runs, 1)),
        ]
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    page = frame(title, runs[0].dataset, content, gallery, maker, MARK)
    return {PAGE: page, **gallery.pictures}


def frame(
    title: str, dataset: str, content: Sequence[str], gallery: Gallery, maker: str, head: str
) -> bytes:
    """Returns a page that needs no other file.

    Args:
      title: what it is about.
      dataset: what that was trained on.
      content: its sections.
      gallery: of their figures.
      maker: the program and its version.
      head: further elements of its head.
    """
    body = "\n".join(content)
    links = (
        f'<li><a href="#{name}">{heading}</a></li>' for name, heading in HEADINGS.findall(body)
    )
    pictures = "".join(f'<li><a href="{name}">{name}</a></li>' for name in gallery.pictures)
    files = folded("The figures as PNG files, beside this page", f"<ul>{pictures}</ul>")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{head}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)} on {escape(dataset)}</title>
<style>{_css()}</style>
</head>
<body>
<header><h1>{escape(title)} <span>on {escape(dataset)}</span></h1>
<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav></header>
<main>
{body}
</main>
<footer>{files}<p>{escape(maker)}</p></footer>
</body>
</html>
""".encode()


def _css() -> str:
    rules = resources.files("rnnjax.reporting.page").joinpath("page.css").read_text()
    on_white, on_black = (style.css_variables(theme) for theme in (0, 1))
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {on_black} }} }}"
    return f":root {{ {on_white} }}\n{dark}\n{rules}"
