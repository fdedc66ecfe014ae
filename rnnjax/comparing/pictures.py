"""The page of a comparison with its pictures, and what TensorBoard shows of it."""

from collections.abc import Sequence

from rnnjax import __version__
from rnnjax.comparing import collect, margins, page, plan, table
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.values import variant_name
from rnnjax.data import datasets
from rnnjax.errors import RunError
from rnnjax.reporting.page.run_figures import RunFigures
from rnnjax.system import files
from rnnjax.system.messages import say
from rnnjax.system.outputs import write_output
from rnnjax.training.gather import gather
from rnnjax.training.trained import read_trained

MOST_RUNS = 3  # that the page looks into
PICTURES = ("curves.png", "run-*-*.png")  # of this page and of those before


def write_pictures(ledger: Ledger, order: str) -> None:
    """Writes `report.html`, its pictures, and the curves for TensorBoard.

    Args:
      ledger: of a comparison that is finished.
      order: the column that the table is sorted by.
    """
    out, variants = ledger.comparison.out, collect.collect(ledger)
    rows = table.summarize(variants)
    by_validation = [row.name for row in table.sort(rows, "validation accuracy")]
    shown = list(dict.fromkeys([variants[0].name, *by_validation]))
    figures = _figures(ledger, shown)
    contents = page.build(variants, table.sort(rows, order), figures, f"rnnjax {__version__}")
    margins.write(out / plan.RUNS / plan.MEANS, variants)
    for path in [path for pattern in PICTURES for path in out.glob(pattern)]:
        if path.name not in contents:
            files.remove(path)
    for name in sorted(contents, key=page.PAGE.__eq__):  # the page last: it tells that all is there
        write_output(out / name, contents[name])


def _figures(ledger: Ledger, names: Sequence[str]) -> list[RunFigures]:
    """Returns what a report tells of the first seed of some variants, those named first.

    One whose folder is gone or damaged is left out: the table needs none.
    """
    jobs = {
        variant_name(chosen): ledger.seed_jobs(chosen)
        for values in ledger.comparison.variants
        if (chosen := ledger.chosen(values)) is not None
    }
    figures = []
    for name in names:
        for job in jobs.get(name, ()):
            found = ledger.outcome(job)
            ended = [] if found is None else found.seeds.values()
            seeds = [of.figures.seed for of in ended if of.figures.failure is None]
            if seeds and len(figures) < MOST_RUNS:
                title = f"{name}, seed {seeds[0]}"
                try:
                    trained = read_trained(ledger.workdir(job), seed=seeds[0])
                    figures.append(gather(trained, title, datasets.load(job.config.data)))
                    break
                except RunError as error:
                    say(f"{title} is not looked into: {error}")
    return figures
