"""Pieces of a page: tables, and figures with how to read them; all text is escaped here."""

import base64
import re
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from rnnjax.reporting import figures
from rnnjax.reporting.page import style
from rnnjax.reporting.page.run_figures import Mistake


class Gallery:
    """Figures of a page, and the same ones as PNG files."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}  # by file name

    def chart(self, name: str, title: str, drawn: Figure, reading: str, alt: str) -> str:
        """Returns a chart as an element of the page.

        Args:
          name: of letters, digits and `-`; no other figure has it.
          title: its heading.
          drawn: the chart.
          reading: how to read it, a sentence or two.
          alt: what it shows, for those who do not see it.
        """
        self.pictures[f"{name}.png"] = style.png(drawn)
        return figure(name, title, style.svg(drawn, name, escape(alt)), reading)

    def mistakes(self, name: str, title: str, mistakes: Sequence[Mistake], reading: str) -> str:
        """Returns images that were mistaken as an element of the page; arguments as of `chart`."""
        captions = [
            (f"is {m.truth}", f"taken for {m.guess}", f"{m.probability:.0%}") for m in mistakes
        ]
        sheet = figures.grid(np.stack([m.image for m in mistakes]), captions)
        self.pictures[f"{name}.png"] = figures.png(sheet)
        items = [
            f"<li>{_image(mistake.image, ', '.join(lines))}<strong>{escape(mistake.truth)}"
            f"</strong><br>{escape(mistake.guess)}? {lines[2]}</li>"
            for mistake, lines in zip(mistakes, captions, strict=True)
        ]
        return figure(name, title, f'<ul class="mistakes">{"".join(items)}</ul>', reading)


def figure(name: str, title: str, content: str, reading: str) -> str:
    """Returns what is shown under a heading, and below it how to read it."""
    return (
        f'<figure id="{name}"><h3>{escape(title)}</h3>\n{content}\n'
        f"<figcaption>{escape(reading)}</figcaption></figure>"
    )


def _image(image: UInt8[np.ndarray, "Y X *C"], alt: str) -> str:
    height, width = image.shape[:2]
    pixels = image if image.ndim == 3 else image[..., None].repeat(3, axis=-1)
    content = base64.b64encode(figures.png(pixels)).decode()
    return (
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{content}" width="{width}" '
        f'height="{height}">'
    )


def table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]], kind: str = "wide"
) -> str:
    """Returns a table.

    Args:
      caption: what it is, unless a heading says so.
      headings: of the columns; the first column has the headings of the rows.
      rows: of cells.
      kind: `wide`, if each row is to become a list on a phone, or `compact`.
    """
    head = "".join(f'<th scope="col">{_breakable(heading)}</th>' for heading in headings)
    body = []
    for first, *cells in rows:
        columns = zip(headings[1:], cells, strict=True)
        body.append(
            f'<tr><th scope="row">{escape(str(first))}</th>'
            + "".join(
                f'<td data-label="{escape(heading)}">{escape(str(cell))}</td>'
                for heading, cell in columns
            )
            + "</tr>"
        )
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<table class="{kind}">{top}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _breakable(name: str) -> str:
    """Returns a name, such as `data.validation_size`, that lines may end within."""
    return re.sub(r"([._])", r"\1<wbr>", escape(name))


def paragraph(text: str, kind: str = "") -> str:
    """Returns a paragraph, of a class of the style sheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def folded(summary: str, content: str) -> str:
    """Returns something that is shown when people ask for it."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def section(name: str, title: str, *content: str) -> str:
    """Returns a part of the page with a heading."""
    inside = "\n".join(content)
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{inside}</section>'


def side_by_side(*content: str) -> str:
    """Returns figures beside each other, where there is room."""
    return f'<div class="figures">{"".join(content)}</div>'
