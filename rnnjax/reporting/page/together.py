"""What a page says of all its runs together."""

from collections.abc import Sequence

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.reporting.page import charts
from rnnjax.reporting.page.markup import (
    Gallery,
    folded,
    paragraph,
    section,
    side_by_side,
    table,
)
from rnnjax.reporting.page.run_figures import RunFigures

MOST_COLUMNS = 5  # of runs in the table of settings; of more, each has a row
LEARNING = (
    (
        "loss",
        "Loss",
        "loss (nats)",
        "The mean cross-entropy: of all images of validation and test, in training of the batches "
        "since the last figure. Where training goes on to fall while the others turn back, the "
        "model learns its training images by heart.",
    ),
    (
        "accuracy",
        "Accuracy",
        "accuracy",
        "The share of images that are told right. A small gap between training and test is a model "
        "that could be larger or train longer; a large one asks for more data or dropout.",
    ),
)


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
        "they come true. Time is that of the run up to there, and the median of its steps."
    )
    return section(
        "overview", "Overview", table("", headings, rows, "wide numbers"), paragraph(reading)
    )


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
    is_turned = len(runs) > MOST_COLUMNS
    rows = [("run" if is_turned else "setting", *(run.name for run in runs))]
    rows += [(name, *(_setting(run, name) for run in runs)) for name in different]
    if is_turned:
        rows = [*zip(*rows, strict=True)]
    first = "The settings that differ between the runs" if runs[1:] else "Other than the default"
    rest = [(name, _setting(runs[0], name)) for name in names if name not in different]
    return section(
        "settings",
        "Settings",
        table(first, rows[0], rows[1:]) if different else paragraph(f"{first}: none."),
        folded(f"The other {len(rest)} settings", table("", ("setting", "value"), rest)),
    )


def curves(runs: Sequence[RunFigures], gallery: Gallery) -> str:
    """Returns the curves of the training and of the sequence, and what could not be read."""
    problems = [f"{run.name}: {line}." for run in runs for line in run.unreadable]
    notes = [paragraph(problem, "note") for problem in problems]
    shown = []
    best = max(runs, key=lambda run: run.accuracy)
    for tag, title, unit, reading in LEARNING:
        if any(tag in curves for run in runs for curves in run.curves.values()):
            end = f"{best.name} ends at a test accuracy of {best.accuracy:.4f}"
            shown.append(
                gallery.chart(
                    f"learning-{tag}",
                    title,
                    charts.curves(runs, tag, unit),
                    reading,
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
                "A level line is a training that nothing has disturbed; peaks come from compiling "
                "or from whatever else the machine had to do.",
                f"Time of a training step over the training, median: {medians}.",
            )
        )
    return section("curves", "Curves", *notes, side_by_side(*shown, _parts(runs, gallery)))


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
