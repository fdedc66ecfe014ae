"""The charts of a page, of plain figures; each to be drawn inside of `style.drawing`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from rnnjax.reporting.page import style
from rnnjax.reporting.page.run_figures import (
    Band,
    Calibration,
    ClassTable,
    RunFigures,
    Trajectories,
)
from rnnjax.reporting.page.style import GREY, INK, PAPER, SERIES

BLUE, ORANGE = (SERIES[name][0] for name in ("blue", "orange"))
SPLIT_LINES: dict[str, dict[str, Any]] = {  # test is what counts, and training is noisy
    "train": {"linestyle": "-", "linewidth": 0.9, "alpha": 0.55},
    "validation": {"linestyle": "--", "marker": "."},
    "test": {"linestyle": "-", "marker": "."},
}
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g} %")
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
MUCH = 10  # times as much, and a logarithm shows it better
MOST_NUMBERED, MOST_NAMED = 20, 100  # classes of a table with numbers, and with names
DARK_SHARE = 0.6  # of a cell of a table, above which paper is read better on it than ink


def curves(runs: Sequence[RunFigures], tag: str, label: str) -> Figure:
    """Returns a scalar of all splits and runs over the training steps."""
    axes = _axes("training step", label)
    handles, labels = [], []
    for split, line in SPLIT_LINES.items():
        for n, run in enumerate(runs):
            if curve := run.curves.get(split, {}).get(tag):
                axes.plot(curve.steps, curve.values, color=style.colour(n), **line)
        if any(tag in run.curves.get(split, {}) for run in runs):
            handles.append(Line2D([], [], color=INK, **line))
            labels.append("training" if split == "train" else split)
    _with_runs(axes, runs, handles, labels)
    if tag == "accuracy":
        _percent(axes)
    return _figure(axes)


def bands(variants: Mapping[str, Band], label: str) -> Figure:
    """Returns an accuracy of several seeds of each variant over the training steps.

    Each should have a colour of its own, of which there are as many as `style.SERIES`.
    """
    axes = _axes("training step", label, height=style.HEIGHT * 1.2)
    handles, lowest = [], []
    for n, (steps, mean, sd) in enumerate(variants.values()):
        hue = style.colour(n)
        axes.fill_between(steps, mean - sd, mean + sd, color=hue, alpha=0.15, linewidth=0)
        handles += axes.plot(steps, mean, color=hue, marker=".")
        lowest.append((mean - sd)[steps >= steps[-1] / 4].min())
    # The rise of the first steps would press together what differs later.
    axes.set_ylim(bottom=min(lowest) - 0.01)
    _percent(axes)
    style.legend_below(axes, handles, [*variants])
    return _figure(axes)


def step_times(runs: Sequence[RunFigures]) -> Figure:
    """Returns how long a training step has taken, over the training."""
    axes = _axes("training step", "milliseconds a step")
    for n, run in enumerate(runs):
        if speeds := run.curves.get("train", {}).get("steps_per_second"):
            axes.plot(speeds.steps, 1000 / speeds.values, color=style.colour(n), marker=".")
    low, high = axes.dataLim.intervaly
    if high > MUCH * low:  # the first figures of a short training, say, have its compilation
        _logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)
    _with_runs(axes, runs, [], [])
    return _figure(axes)


def accuracy_by_part(runs: Sequence[RunFigures], part: str) -> Figure:
    """Returns the accuracy had each sequence ended after so many parts, such as rows."""
    axes = _axes(f"{part} seen", "accuracy")
    num_classes = len(runs[0].classes.names)
    chance = axes.axhline(1 / num_classes, color=GREY, linestyle=":", linewidth=1.2)
    for n, run in enumerate(runs):
        axes.plot(*_from_one(run.accuracy_by_part), color=style.colour(n), marker=".")
    num_parts = len(runs[0].accuracy_by_part)
    every = max(1, num_parts // 4)
    axes.set_xticks(sorted({1, *range(every, num_parts + 1, every)}))
    axes.set_ylim(0, 1)
    _percent(axes)
    _with_runs(axes, runs, [chance], ["chance"])
    return _figure(axes)


def confusion(classes: ClassTable) -> Figure:
    """Returns a table of truth (rows) against guess (columns).

    Of so many classes that there is no room for the numbers it is without, and then without names.
    """
    size = len(classes.names)
    axes = style.new_figure(style.WIDTH * 0.95).subplots()
    shares = classes.confusion / np.maximum(classes.confusion.sum(1, keepdims=True), 1)
    for row, column in np.argwhere(classes.confusion):
        share, count = shares[row, column], int(classes.confusion[row, column])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=BLUE, alpha=share, lw=0))
        if size <= MOST_NUMBERED:
            ink = PAPER if share > DARK_SHARE else INK
            axes.text(column, row, str(count), color=ink, size=7, ha="center", va="center")
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    axes.set(xlabel="what the model takes it for", ylabel="what it is")
    names = classes.names if size <= MOST_NAMED else []
    letters = min(8.5, 8.5 * MOST_NUMBERED / size)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=letters)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    return _figure(axes)


def reliability(calibration: Calibration) -> Figure:
    """Returns how often guesses are right by how probable they are said to be, and how many."""
    figure = style.new_figure(style.HEIGHT * 1.15)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = calibration.num_images > 0
    width = 1 / len(filled)
    centres = (np.arange(len(filled)) + 0.5) * width
    upper.bar(centres[filled], calibration.accuracy[filled], width * 0.9, color=BLUE, alpha=0.8)
    upper.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1)
    points = (calibration.confidence[filled], calibration.accuracy[filled])
    upper.plot(*points, color=ORANGE, marker="o", linestyle="none")
    upper.set(ylabel="share that is right", ylim=(0, 1), xlim=(0, 1))
    lower.bar(centres, calibration.num_images, width * 0.9, color=GREY)
    lower.set(xlabel="probability of the guess", ylabel="images")
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    upper.yaxis.set_major_formatter(PERCENT)
    lower.xaxis.set_major_formatter(PERCENT)
    figure.align_ylabels()
    return figure


def trajectories(paths: Trajectories) -> Figure:
    """Returns the ways of hidden states in a plane, one of each class."""
    labels = [
        f"{nth} main direction ({share:.0%} of the variance)"
        for nth, share in zip(("first", "second"), paths.explained, strict=True)
    ]
    axes = _axes(*labels, height=style.HEIGHT * 1.2)
    handles = []
    for n, points in enumerate(paths.points):
        look: dict[str, Any] = {"color": style.colour(n), "marker": style.marker(n)}
        axes.plot(*points.T, color=style.colour(n), linewidth=1.1, marker=".", markersize=2)
        axes.plot(*points[:1].T, **look, markerfacecolor=PAPER, markersize=5)
        (end,) = axes.plot(*points[-1:].T, **look, markersize=7)
        handles.append(end)
    axes.margins(0.08)
    style.legend_below(axes, handles, paths.class_names)
    return _figure(axes)


def gates(
    closed: Mapping[str, Mapping[str, np.ndarray]], opened: Mapping[str, Mapping[str, np.ndarray]]
) -> Figure:
    """Returns which share of each gate is closed and open over time, a panel for each layer."""
    figure = style.new_figure(style.HEIGHT * (0.5 + 0.5 * len(closed)))
    panels = np.atleast_1d(figure.subplots(len(closed), 1, sharex=True, sharey=True))
    names = list(dict.fromkeys(gate for gates in closed.values() for gate in gates))
    for axes, layer in zip(panels, closed, strict=True):
        for gate in closed[layer]:
            hue = style.colour(names.index(gate))
            axes.plot(*_from_one(closed[layer][gate]), color=hue)
            axes.plot(*_from_one(opened[layer][gate]), color=hue, linestyle="--")
        axes.set_ylabel(f"{layer}\nshare of the gate" if len(closed) > 1 else "share of the gate")
        _percent(axes)
    highest = max(0.02, panels[-1].dataLim.intervaly[1]) * 1.05
    panels[-1].set_ylim(-0.02 * highest, highest)  # so that a line at 0 is seen
    panels[-1].set_xlabel("step of the sequence")
    handles = [Line2D([], [], color=INK, linestyle=line) for line in ("-", "--")]
    handles += [Line2D([], [], color=style.colour(n)) for n in range(len(names))]
    style.legend_below(panels[-1], handles, ["closed", "open", *(f"{name}" for name in names)])
    return figure


def gradient_norms(norms: Mapping[str, np.ndarray]) -> Figure:
    """Returns the norms of the loss's gradient by the carry over time, of each layer."""
    axes = _axes("step of the sequence", "norm of the gradient")
    handles = []
    for n, values in enumerate(norms.values()):
        positive = np.where(values > 0, values, np.nan)  # a logarithm has no 0
        handles += axes.plot(*_from_one(positive), color=style.colour(n), marker=".", markersize=2)
        axes.set_xlim(0, len(values) + 1)
    if any((values > 0).any() for values in norms.values()):
        _logarithmic(axes)
    if len(norms) > 1:
        style.legend_below(axes, handles, [*norms])
    return _figure(axes)


def _axes(x: str, y: str, height: float = style.HEIGHT) -> Axes:
    axes = style.new_figure(height).subplots()
    axes.set(xlabel=x, ylabel=y)
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _from_one(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns values over their numbers, as people count."""
    values = np.asarray(values)
    return 1 + np.arange(len(values)), values


def _logarithmic(axes: Axes) -> None:
    """Has the logarithm of what is drawn go up, with ticks that can be read over any range."""
    low, high = axes.dataLim.intervaly
    subs = (1, 2, 5) if high < 1_000 * low else (1,)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PERCENT)


def _with_runs(
    axes: Axes, runs: Sequence[RunFigures], handles: Sequence[Line2D], labels: Sequence[str]
) -> None:
    """Explains lines below the axes, and which colour is which run, if there are several."""
    of_runs = runs if len(runs) > 1 else ()
    colours = [Line2D([], [], color=style.colour(n), linewidth=3) for n in range(len(of_runs))]
    if names := [*labels, *(run.name for run in of_runs)]:
        style.legend_below(axes, [*handles, *colours], names)
