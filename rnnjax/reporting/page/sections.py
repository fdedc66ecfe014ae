"""What a page says: of all runs together, and of each one."""

from collections.abc import Sequence

import numpy as np

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.reporting.page import charts
from rnnjax.reporting.page.markup import (
    Gallery,
    figure,
    folded,
    paragraph,
    section,
    side_by_side,
    table,
)
from rnnjax.reporting.page.run_figures import RunFigures

MOST_LAYERS = 6  # that a look inside is shown of
VERSIONS = ("jax", "jaxlib", "flax", "optax")


def overview(runs: Sequence[RunFigures]) -> str:
    """Returns what the runs have come to."""
    headings = ("run", "model", "steps", "test accuracy", "test loss", "calibration error")
    headings += ("parameters", "time", "a step")
    rows = [
        (
            run.name,
            run.model,
            f"{run.step}" if run.step == run.num_steps else f"{run.step} of {run.num_steps}",
            f"{run.accuracy:.4f}",
            f"{run.loss:.4f}",
            f"{run.calibration.error:.4f}",
            f"{run.num_parameters:,}",
            f"{run.seconds:.0f} s",
            "unknown" if run.milliseconds is None else f"{run.milliseconds:.1f} ms",
        )
        for run in runs
    ]
    reading = (
        "Accuracy is the share of all test images that are told right, loss their mean "
        "cross-entropy in nats; the calibration error is how far probabilities are from how often "
        "they come true. Time is that of the whole run, of a step the median."
    )
    return section("overview", "Overview", table("", headings, rows), paragraph(reading))


def settings(runs: Sequence[RunFigures]) -> str:
    """Returns the settings: what differs first, the rest folded."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    others = runs[1:] or [None]
    defaults = stored_config.to_dict(Config())
    different = [
        name
        for name in names
        if any(
            runs[0].settings.get(name)
            != (defaults.get(name) if other is None else other.settings.get(name))
            for other in others
        )
    ]
    headings = ("setting", *(run.name for run in runs))
    rows = {name: (name, *(_setting(run, name) for run in runs)) for name in names}
    first = "The settings that differ between the runs" if runs[1:] else "Other than the default"
    rest = [rows[name] for name in names if name not in different]
    return section(
        "settings",
        "Settings",
        table(first, headings, [rows[name] for name in different])
        if different
        else paragraph(f"{first}: none."),
        folded(f"The other {len(rest)} settings", table("", headings, rest)),
    )


def curves(runs: Sequence[RunFigures], gallery: Gallery) -> str:
    """Returns the curves of the training and of the sequence, and what could not be read."""
    problems = [f"{run.name}: {line}." for run in runs for line in run.unreadable]
    notes = [paragraph(problem, "note") for problem in problems]
    shown = []
    best = max(runs, key=lambda run: run.accuracy)
    for tag, title, unit in (("loss", "Loss", "loss (nats)"), ("accuracy", "Accuracy", "accuracy")):
        if any(tag in curves for run in runs for curves in run.curves.values()):
            end = f"{best.name} ends at a test accuracy of {best.accuracy:.4f}"
            shown.append(
                gallery.chart(
                    f"learning-{tag}",
                    title,
                    charts.curves(runs, tag, unit),
                    "Where the training curve goes on to improve while that of test or validation "
                    "turns back, the model learns its training images by heart.",
                    f"{title} over the training steps of {len(runs)} run(s); {end}.",
                )
            )
    if any(run.milliseconds for run in runs):
        medians = "; ".join(f"{run.name} {run.milliseconds or 0:.1f} ms" for run in runs)
        shown.append(
            gallery.chart(
                "step-time",
                "Time of a step",
                charts.step_times(runs),
                "A level line is a training that nothing has disturbed; peaks come from whatever "
                "else the machine had to do.",
                f"Time of a training step over the training, median: {medians}.",
            )
        )
    return section("curves", "Curves", *notes, side_by_side(*shown, _parts(runs, gallery)))


def of_run(run: RunFigures, n: int, gallery: Gallery) -> str:
    """Returns all of one run, the nth of the page."""
    name = f"run-{n}"
    devices = run.numerics.get("devices", "unknown devices")
    versions = ", ".join(f"{key} {run.numerics[key]}" for key in VERSIONS if key in run.numerics)
    state = "" if run.step == run.num_steps else f"Unfinished: step {run.step} of {run.num_steps}. "
    facts = (
        f"{state}A model of {run.num_parameters:,} parameters ({run.model}), trained for "
        f"{run.step:,} steps in {run.seconds:.0f} s on {devices}; {versions}."
    )
    shown = [_confusion(run, name, gallery), _classes(run, name)]
    shown += [_reliability(run, name, gallery), _trajectories(run, name, gallery)]
    return section(
        name,
        run.name,
        paragraph(facts),
        side_by_side(*shown, *_inside(run, name, gallery)),
        _mistakes(run, name, gallery),
    )


def _parts(runs: Sequence[RunFigures], gallery: Gallery) -> str:
    """Returns how much of a sequence a model needs to see."""
    kinds = {str(run.settings["data.sequence"]) for run in runs}
    part = kinds.pop() if kinds in ({"rows"}, {"columns"}) else "28ths of the sequence"
    images = " and ".join(f"{n:,}" for n in sorted({run.num_part_images for run in runs}))
    needed = "; ".join(
        f"{run.name}: {run.accuracy_by_part[len(run.accuracy_by_part) // 2 - 1]:.0%} after half"
        for run in runs
    )
    return gallery.chart(
        "parts",
        f"Accuracy by {part} seen",
        charts.accuracy_by_part(runs, part),
        f"The accuracy had each sequence ended there, on the first {images} test images: where the "
        "curve rises is the part of an image that tells what it is.",
        f"Accuracy by {part} seen; {needed}.",
    )


def _setting(run: RunFigures, name: str) -> str:
    value = run.settings.get(name)
    return str(value) if value not in ("", {}) else "–"  # noqa: RUF001 -- a dash, not a minus


def _classes(run: RunFigures, name: str) -> str:
    of = run.classes
    columns = zip(of.names, of.precision, of.recall, of.f1, of.num_images, strict=True)
    rows = [(k, *(f"{x:.3f}" for x in shares), f"{int(n):,}") for k, *shares, n in columns]
    headings = ("class", "precision", "recall", "F1", "images")
    return figure(
        f"{name}-classes",
        "Class by class",
        table("", headings, rows, "compact"),
        "Precision is the share of the guesses of a class that are right, recall the share of its "
        "images that are guessed; F1 is their harmonic mean.",
    )


def _confusion(run: RunFigures, name: str, gallery: Gallery) -> str:
    table = run.classes.confusion - np.diag(run.classes.confusion.diagonal())
    truth, guess = np.unravel_index(table.argmax(), table.shape)
    names = run.classes.names
    worst = f"{names[truth]} is taken for {names[guess]} {table.max()} times"
    return gallery.chart(
        f"{name}-confusion",
        "Confusion",
        charts.confusion(run.classes),
        "Each row is a class, each number how many of its test images were taken for the class "
        f"below; all that is off the diagonal is a mistake. Most often, {worst}.",
        f"Table of true classes against guesses; most often, {worst}.",
    )


def _reliability(run: RunFigures, name: str, gallery: Gallery) -> str:
    return gallery.chart(
        f"{name}-reliability",
        "Calibration",
        charts.reliability(run.calibration),
        "Test images by the probability of their guess: bars below the dashed line are guesses "
        "that are surer than they should be. Dots are the mean probabilities, grey bars the number "
        f"of images. The expected calibration error is {run.calibration.error:.4f}.",
        f"Share of right guesses by their probability; the error is {run.calibration.error:.4f}.",
    )


def _trajectories(run: RunFigures, name: str, gallery: Gallery) -> str:
    shares = run.trajectories.explained
    return gallery.chart(
        f"{name}-trajectories",
        "Hidden states",
        charts.trajectories(run.trajectories),
        "The way of the hidden state while one test image of each class is read, from the hollow "
        "marker to the filled one, in the plane in which these states differ most; ways that part "
        "are told apart.",
        f"Ways of hidden states of one image of each of {len(run.trajectories.points)} classes in "
        f"a plane with {shares.sum():.0%} of their variance.",
    )


def _inside(run: RunFigures, name: str, gallery: Gallery) -> list[str]:
    inside, shown = run.inside, []
    first = [*inside.gradient_norms][:MOST_LAYERS]
    of_all = len(inside.gradient_norms)
    limits = f" Of {of_all} layers, the first {MOST_LAYERS}." * (of_all > MOST_LAYERS)
    if gated := [layer for layer in first if inside.closed.get(layer)]:
        closed, opened = ({layer: gates[layer] for layer in gated} for gates in inside[:2])
        ends = [
            f"{layer} {gate} {values.mean():.0%}"
            for layer in gated
            for gate, values in closed[layer].items()
        ]
        shown.append(
            gallery.chart(
                f"{name}-gates",
                "Gates",
                charts.gates(closed, opened),
                "The share of each gate's values that are closed (below 0.05) or open (above 0.95) "
                "at each step: a gate that is nearly all one or the other hardly learns any more."
                + limits,
                f"Share of gates closed and open over time; closed on average: {', '.join(ends)}.",
            )
        )
    else:
        shown.append(paragraph("This cell has no gates that could be looked into.", "note"))
    norms = {layer: inside.gradient_norms[layer] for layer in first}
    ends = "; ".join(f"{layer} from {x[0]:.1e} to {x[-1]:.1e}" for layer, x in norms.items())
    shown.append(
        gallery.chart(
            f"{name}-gradients",
            "Gradients through time",
            charts.gradient_norms(norms),
            "How strongly the loss depends on the carry before each step: a curve that falls "
            "towards the first step is a gradient that vanishes, one that rises explodes." + limits,
            f"Norm of the loss's gradient by the carry over time: {ends}.",
        )
    )
    return shown


def _mistakes(run: RunFigures, name: str, gallery: Gallery) -> str:
    if not run.mistakes:
        return paragraph("It told all test images right.")
    return gallery.mistakes(
        f"{name}-mistakes",
        "The worst mistakes",
        run.mistakes,
        "The test images that were mistaken with the highest probability: what each is, what it "
        "was taken for, and how sure the model was of that.",
    )
