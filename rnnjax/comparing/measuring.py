"""What runs take here, measured before they begin: for the estimate, and for rows of equal time."""

import dataclasses
import math
from pathlib import Path

from rnnjax.comparing import plan, sizes
from rnnjax.comparing.axes import EQUAL_SECONDS
from rnnjax.comparing.ledger import Ledger, size_key
from rnnjax.comparing.plan import Values
from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.runs import sealed
from rnnjax.training.speed import Speed, measure

FILE = "speeds.json"
WORTH_STEPS = 1_000  # of a row: to measure fewer takes about as long as to take them
PROCESS_SECONDS = 8.0  # of a run beside what is measured: imports, the last evaluation, files


def read(out: Path) -> dict[str, Speed]:
    """Returns what was measured, by the folder of a variant; nothing, if it cannot be read."""
    try:
        stored = sealed.read(out / FILE)
        return {key: Speed(*map(sealed.number, of)) for key, of in stored.items()}
    except (OSError, *sealed.SHAPE_ERRORS):
        return {}


def missing(ledger: Ledger) -> list[Values]:
    """Returns the variants that are to be measured, the first of all first."""
    known = read(ledger.comparison.out)
    first, *others = ledger.comparison.variants
    wants_target = ledger.comparison.compute == EQUAL_SECONDS and not ledger.target
    return [
        values
        for values in (first, *others)
        if (wants_target and values is first)
        or _needs_size(ledger, values)
        or (_key(ledger, values) not in known and ledger.num_steps_left(values) >= WORTH_STEPS)
    ]


def _needs_size(ledger: Ledger, values: Values) -> bool:
    return ledger.comparison.compute == EQUAL_SECONDS and size_key(values) not in ledger.sizes


def _key(ledger: Ledger, values: Values) -> str:
    return f"{plan.folder_of(values)}, {ledger.comparison.num_seeds_at_once} seeds at once"


def measure_missing(ledger: Ledger) -> None:
    """Measures what is missing, finds the hidden sizes of rows of equal time, and stores both."""
    comparison, loaded = ledger.comparison, {}
    known = read(comparison.out)

    def speed(config: Config) -> Speed:
        key = str(config.data)
        if key not in loaded:
            loaded[key] = datasets.load(config.data)
        config = dataclasses.replace(config, seeds=comparison.num_seeds_at_once)
        return measure(config, loaded[key])

    def note(values: Values) -> Speed:
        known[_key(ledger, values)] = found = speed(ledger.config(values))
        sealed.write(comparison.out / FILE, known)
        return found

    if comparison.compute == EQUAL_SECONDS and not ledger.target:
        ledger.set_target(note(comparison.variants[0]).step)
        ledger.save()
    for values in missing(ledger):
        if _needs_size(ledger, values):
            ledger.sizes[size_key(values)] = sizes.equal_milliseconds(
                ledger.config(values),
                1_000 * ledger.target,
                lambda config: 1_000 * speed(config).step,
            )
            ledger.save()
        note(values)


def estimate(ledger: Ledger) -> float | None:
    """Returns the seconds that the runs need which have not ended; None: not all were measured."""
    known, comparison = read(ledger.comparison.out), ledger.comparison
    seconds, num_runs = 0.0, 0
    for values in comparison.variants:
        left = ledger.num_steps_left(values)
        of_variant = known.get(_key(ledger, values))
        if of_variant is None and left:
            return None
        if of_variant is not None and left:
            config = ledger.config(values)
            evaluations = -(-config.num_steps // config.eval_every_steps) / config.num_steps
            runs = left / config.num_steps  # of one seed
            trials = min(runs, comparison.num_trials) if ledger.has_trials_due(values) else 0
            processes = math.ceil(trials + (runs - trials) / comparison.num_seeds_at_once)
            seconds += left * (of_variant.step + evaluations * of_variant.evaluation)
            seconds += processes * (PROCESS_SECONDS + of_variant.start)
            num_runs += processes
    return seconds / max(1, min(comparison.num_jobs, num_runs))
