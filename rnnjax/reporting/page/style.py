"""How the charts of a page look: on white and on black paper, on a screen and as PNG files.

Charts are drawn in the colours of white paper. In the page each colour becomes a CSS variable, so
that the same drawing has colours of its own on black paper.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# name: on white, on black. Each has a contrast of at least 3 to its paper, as WCAG 2.1 asks of
# graphics. The order is that of use: each is as far from those before it as can be had, in the eyes
# of the colour-blind too.
SERIES = {
    "blue": ("#0067a5", "#62b5f5"),
    "orange": ("#c45a00", "#ff9f45"),
    "wine": ("#670025", "#fb537b"),
    "violet": ("#7317d4", "#a24efb"),
    "teal": ("#129e7a", "#87fed5"),
    "brown": ("#5e3a04", "#fdc88e"),
    "slate": ("#1a465f", "#afd7f5"),
    "red": ("#ce123b", "#f60946"),
    "sky": ("#2e8eed", "#2f7ed1"),
    "green": ("#057849", "#068e57"),
}
PAPER, INK, GREY, RULE = "#ffffff", "#1d2125", "#5f6b76", "#d8dde2"
ON_BLACK = {PAPER: "#15181c", INK: "#e6e9ec", GREY: "#a9b4bf", RULE: "#3a4149"}
COLOURS = {
    **SERIES,
    **dict(zip(("paper", "ink", "grey", "rule"), ON_BLACK.items(), strict=True)),
}
MARKERS = "osD^vPX<>*"
WIDTH, HEIGHT = 4.6, 3.2  # inches: narrow, so that text can be read on a phone
# Letters of a name that a legend has room for, by how many columns it has.
LETTERS = {3: 13, 2: 20, 1: 56}
SETTINGS: Any = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "font.size": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",  # text remains text, which can be searched and read aloud
    "text.color": INK,
    "text.parse_math": False,  # a run may be called `$x$`
    "xtick.color": INK,
    "ytick.color": INK,
}


def colour(n: int) -> str:
    """Returns the colour of the nth of several series."""
    return list(SERIES.values())[n % len(SERIES)][0]


def marker(n: int) -> str:
    """Returns the marker of the nth of several series."""
    return MARKERS[n % len(MARKERS)]


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draws what is drawn inside in this style, whatever the user's own is."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        # The names of runs may be of any script; browsers have letters that Matplotlib has not.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def new_figure(height: float = HEIGHT) -> Figure:
    """Returns a figure, to be drawn on inside of `drawing`; `height` in inches."""
    return Figure(figsize=(WIDTH, height))


def short(names: Sequence[str], most: int) -> list[str]:
    """Returns so many letters of each name at most, its start and its end.

    Names that are alike in both have their numbers instead of their last letters.
    """
    cut = [_cut(name, most) for name in names]
    return [
        _cut(name, most, f" ({cut[: n + 1].count(cut[n])})") if cut.count(cut[n]) > 1 else cut[n]
        for n, name in enumerate(names)
    ]


def _cut(name: str, most: int, number: str = "") -> str:
    if len(name) <= most:
        return name
    letters = most - 1 - len(number)
    return f"{name[: letters - letters // 2]}…{name[len(name) - letters // 2 :]}{number}"


def legend_below(axes: Axes, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Explains a figure below its axes, and makes it as much higher."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    longest = max(map(len, labels), default=0)
    columns = next((columns for columns, room in LETTERS.items() if longest <= room), 1)
    figure.set_figheight(figure.get_figheight() + 0.17 * -(-len(labels) // columns))
    legend = figure.legend(handles, [""] * len(labels), loc="outside lower center", ncols=columns)
    for text, label in zip(legend.get_texts(), short(labels, LETTERS[columns]), strict=True):
        text.set_text(label)  # not a label, which Matplotlib leaves out if it begins with _


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file, on white."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200, facecolor=PAPER)
    return file.getvalue()


def svg(figure: Figure, name: str, alt: str) -> str:
    """Returns a figure as an element of a page, whose CSS has a variable for each colour.

    Args:
      figure: of `new_figure`.
      name: of letters, digits and `-`; no other figure of the page has it.
      alt: what the figure shows, for those who do not see it; escaped.
    """
    file = io.StringIO()
    # Without a salt the names of what a drawing refers to would be those of other drawings.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # such as axes_1, which each drawing has
    viewbox = re.search(r'viewBox="[^"]*"', text)
    assert viewbox is not None
    text = text[text.index(">") + 1 :]
    for key, (on_white, _) in COLOURS.items():
        text = text.replace(on_white, f"var(--{key})")
    return f'<svg role="img" aria-label="{alt}" {viewbox[0]}>{text}'


def css_variables(theme: int) -> str:
    """Returns the colours as CSS variables; 0: on white, 1: on black."""
    return "".join(f"--{name}:{colours[theme]};" for name, colours in COLOURS.items())
