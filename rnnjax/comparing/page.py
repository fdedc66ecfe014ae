"""The page of a comparison: the table, which a click sorts, and the curves, mean and spread."""

from collections.abc import Mapping, Sequence
from importlib import resources

from rnnjax.comparing import table
from rnnjax.comparing.results import Variant, band
from rnnjax.comparing.table import Row
from rnnjax.reporting.page import charts, document, markup, one_run, style
from rnnjax.reporting.page.run_figures import Band, RunFigures

PAGE, CURVES = "report.html", "curves"  # the second is a PNG file as well
NO_BREAK = "\N{NO-BREAK SPACE}"
MARK = '<meta name="generator" content="rnnjax.compare">'


def build(
    variants: Sequence[Variant], rows: Sequence[Row], runs: Sequence[RunFigures], maker: str
) -> dict[str, bytes]:
    """Returns `report.html`, `curves.png` and the pictures of single runs, by name.

    Args:
      variants: the first is what the others are compared with.
      rows: of `table.summarize`, in the order of the page.
      runs: those that the page tells more of; there may be none.
      maker: the program and its version.
    """
    gallery = markup.Gallery()
    failed = table.failures([run for variant in variants for run in variant.runs])
    with style.drawing():
        content = [
            markup.section(
                "table",
                "Table",
                markup.table(
                    "",
                    [*table.COLUMNS],
                    [_cells(row) for row in rows],
                    "wide numbers sortable",
                ),
                *map(markup.paragraph, (table.chosen(rows), *table.READING)),
                *(markup.paragraph(failure, "note") for failure in failed),
            ),
            _curves(variants, gallery),
            *(one_run.section_of(run, n, gallery) for n, run in enumerate(runs, 1)),
        ]
    title = f"{len(variants)} variants" if len(variants) > 1 else variants[0].name
    datasets = {str(variant.runs[0].settings["data.name"]): None for variant in variants}
    script = resources.files("rnnjax.comparing").joinpath("sort.js").read_text()
    head = f'{MARK}\n<script type="module">{script}</script>'
    return {
        PAGE: document.frame(title, " and ".join(datasets), content, gallery, maker, head),
        **gallery.pictures,
    }


def _cells(row: Row) -> list[str]:
    """Returns the texts of a row, whose only end of a line but in the name is before a bracket."""
    name, *rest = table.cells(row)
    return [name, *(cell.replace(" ", NO_BREAK).replace(f"{NO_BREAK}(", " (") for cell in rest)]


def _curves(variants: Sequence[Variant], gallery: markup.Gallery) -> str:
    bands = {variant.name: band(variant.curves) for variant in variants if variant.curves}
    bands = {name: of for name, of in bands.items() if len(of.steps)}
    if not bands:
        return markup.section("learning", "Curves", markup.paragraph("There are none.", "note"))
    shown = _first_and_best(bands, variants[0].name)
    ends = "; ".join(f"{name} ends at {of.mean[-1]:.4f}" for name, of in shown.items())
    reading = (
        "The mean over the seeds of runs that ended, and one standard deviation to each side. "
        "The axis begins at the lowest after a quarter of the steps. The table says which differ."
    )
    if len(shown) < len(bands):
        reading = f"Of {len(bands)} variants, the first and those that end highest. {reading}"
    chart = gallery.chart(
        CURVES,
        "Validation accuracy",
        charts.bands(shown, "validation accuracy"),
        reading,
        f"Validation accuracy over the training steps, mean over seeds: {ends}.",
    )
    return markup.section("learning", "Curves", chart)


def _first_and_best(bands: Mapping[str, Band], first: str) -> dict[str, Band]:
    """Returns as many as can be told apart in a picture, in their order."""

    def rank(name: str) -> tuple[bool, float]:
        return name == first, bands[name].mean[-1]

    best = sorted(bands, key=rank, reverse=True)[: len(style.SERIES)]
    return {name: of for name, of in bands.items() if name in best}
