"""From what the runs have come to, to the files of a comparison."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from rnnjax import stored_config
from rnnjax.comparing import results, table
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.outcome import Outcome
from rnnjax.comparing.plan import Job
from rnnjax.comparing.results import Run, Variant
from rnnjax.comparing.values import variant_name
from rnnjax.system.files import read_bytes
from rnnjax.system.outputs import write_output

CSV, JSON, TRIALS, TABLE = "results.csv", "results.json", "trials.csv", "table.md"


def collect(ledger: Ledger) -> list[Variant]:
    """Returns the variants whose runs have ended, at least some of them, in the order asked for."""
    variants = []
    for values in ledger.comparison.variants:
        chosen = ledger.chosen(values)
        jobs = ledger.trial_jobs(values) if chosen is None else ledger.seed_jobs(chosen)
        ended = [(job, found) for job in jobs if (found := ledger.outcome(job))]
        if chosen is None and not ledger.has_trials_due(values):
            failed = ended[0] if ended else ledger.without_trial(values)
            variants.append(_without_trial(variant_name(values), *failed))
        elif chosen is not None and ended:
            variants.append(_variant(ended[0][0].variant, ended, ledger.seeds()))
    return variants


def _without_trial(name: str, job: Job, outcome: Outcome) -> Variant:
    """Returns a variant of which every trial has failed."""
    run = _runs(name, job, outcome)[0]
    return Variant(name, [run._replace(failure=f"every trial failed: {run.failure}")], {}, [])


def _variant(name: str, ended: Sequence[tuple[Job, Outcome]], wanted: range) -> Variant:
    of_seed = {
        seed: found
        for _, outcome in ended
        for seed, found in outcome.seeds.items()
        if seed in wanted and found.figures.failure is None
    }
    runs = [run for job, found in ended for run in _runs(name, job, found) if run.seed in wanted]
    return Variant(
        name,
        sorted(runs, key=lambda run: run.seed),
        {seed: of_seed[seed].right for seed in sorted(of_seed)},
        [of_seed[seed].curve for seed in sorted(of_seed)],
    )


def _runs(name: str, job: Job, outcome: Outcome) -> list[Run]:
    """Returns a row for each seed; of several at once, each has its share of the time."""
    runs = []
    for seed, (figures, _, _) in outcome.seeds.items():
        own = dataclasses.replace(job.config, seed=seed, seeds=1)
        is_done = figures.failure is None
        runs.append(
            Run(
                variant=name,
                seed=seed,
                parameters=outcome.parameters,
                validation_accuracy=_known(figures.validation_accuracy),
                test_accuracy=_known(figures.test_accuracy),
                test_loss=_known(figures.test_loss),
                seconds=outcome.seconds / len(outcome.seeds),
                ms_per_step=outcome.ms_per_step if is_done else math.nan,
                peak_memory=outcome.peak_memory,
                failure=figures.failure or "",
                settings=stored_config.to_dict(own),
            )
        )
    return runs


def _known(figure: float | None) -> float:
    return math.nan if figure is None else figure


def trial_runs(ledger: Ledger) -> list[Run]:
    """Returns the runs that have chosen values; their test accuracies are nobody's business."""
    return [
        run._replace(test_accuracy=math.nan, test_loss=math.nan)
        for values in ledger.comparison.variants
        for job in ledger.trial_jobs(values)
        if (found := ledger.outcome(job))
        for run in _runs(job.variant, job, found)
    ]


def write_results(ledger: Ledger) -> None:
    """Writes a row for each run that has ended."""
    out: Path = ledger.comparison.out
    runs = [run for variant in collect(ledger) for run in variant.runs]
    write_output(out / CSV, results.to_csv(runs))
    write_output(out / JSON, results.to_json(runs))
    if ledger.comparison.space:
        write_output(out / TRIALS, results.to_csv(trial_runs(ledger)))


def table_text(variants: Sequence[Variant], order: str) -> str:
    """Returns the table, in the order of a column."""
    rows = table.sort(table.summarize(variants), order)
    return table.to_markdown(rows, [run for variant in variants for run in variant.runs])


def is_written(out: Path, text: str) -> bool:
    """Whether a table is the one that was written last."""
    try:
        return read_bytes(out / TABLE) == text.encode()
    except (OSError, ValueError):
        return False
