"""What a page says of each run alone."""

import numpy as np

from rnnjax.reporting.page import charts
from rnnjax.reporting.page.markup import Gallery, figure, paragraph, section, side_by_side, table
from rnnjax.reporting.page.run_figures import RunFigures
from rnnjax.system.numerics import LIBRARIES

MOST_LAYERS = 6  # that a look inside is shown of


def section_of(run: RunFigures, n: int, gallery: Gallery) -> str:
    """Returns all of one run, the nth of the page."""
    name = f"run-{n}"
    devices = run.numerics.get("devices", "unknown devices")
    if cores := run.numerics.get("cores"):
        devices += f" ({cores} cores)"
    versions = ", ".join(f"{key} {run.numerics[key]}" for key in LIBRARIES if key in run.numerics)
    state = "" if run.step == run.num_steps else f"At step {run.step:,} of {run.num_steps:,}. "
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
    truth, guess = divmod(int(table.argmax()), len(table))
    names = run.classes.names
    cell = "number" if len(names) <= charts.MOST_NUMBERED else "colour"
    worst = f"{names[truth]} is taken for {names[guess]} {table.max()} times"
    return gallery.chart(
        f"{name}-confusion",
        "Confusion",
        charts.confusion(run.classes),
        f"Each row is a class, each {cell} how many of its test images were taken for the class "
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
    shown, names = len(run.trajectories.points), run.classes.names
    classes = f"of {shown} classes" if shown < len(names) else "class"
    return gallery.chart(
        f"{name}-trajectories",
        "Hidden states",
        charts.trajectories(run.trajectories),
        f"The way of the hidden state while one test image of each {classes} is read, from the "
        "hollow marker to the filled one, in the plane in which these states differ most; ways "
        "that part are told apart.",
        f"Ways of hidden states of one image of each of {shown} classes in "
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
                "at each step, in the order in which a layer reads them: a gate that is nearly all "
                "one or the other hardly learns any more." + limits,
                f"Share of gates closed and open over time; closed on average: {', '.join(ends)}.",
            )
        )
    norms = {layer: inside.gradient_norms[layer] for layer in first}
    ends = "; ".join(f"{layer} from {x[0]:.1e} to {x[-1]:.1e}" for layer, x in norms.items())
    shown.append(
        gallery.chart(
            f"{name}-gradients",
            "Gradients through time",
            charts.gradient_norms(norms),
            "How strongly the loss depends on the carry before each step, in the order in which a "
            "layer reads them: a curve that falls towards the first step is a gradient that "
            "vanishes, one that rises explodes; where there is no curve it is 0." + limits,
            f"Norm of the loss's gradient by the carry over time: {ends}.",
        )
    )
    if not gated:
        shown.append(paragraph("This cell has no gates that could be looked into.", "note"))
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
