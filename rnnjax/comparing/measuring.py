"""What runs take here, measured before they begin: for the estimate, and for rows of equal time."""

import dataclasses
import math
from pathlib import Path

from rnnjax.comparing import plan, sizes
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
    unsized = [values for values in others if _needs_size(ledger, values)]
    return [
        values
        for values in (first, *others)
        if values in unsized
        or (
            plan.folder_of(values) not in known
            and (ledger.num_steps_left(values) >= WORTH_STEPS or (values is first and unsized))
        )
    ]


def _needs_size(ledger: Ledger, values: Values) -> bool:
    return ledger.comparison.compute == "equal-seconds" and size_key(values) not in ledger.sizes


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

    first = plan.folder_of(comparison.variants[0])
    for values in missing(ledger):
        key = plan.folder_of(values)
        if key != first and _needs_size(ledger, values):
            target, config = known[first].step, ledger.config(values)
            size = sizes.equal_seconds(config, target, lambda config: speed(config).step)
            ledger.sizes[size_key(values)] = size
            ledger.save()
        known[key] = speed(ledger.config(values))
        sealed.write(comparison.out / FILE, known)


def estimate(ledger: Ledger) -> float | None:
    """Returns the seconds that a comparison needs, of one process at a time; None: not measured."""
    known, seconds = read(ledger.comparison.out), 0.0
    for values in ledger.comparison.variants:
        left = ledger.num_steps_left(values)
        of_variant = known.get(plan.folder_of(values))
        if of_variant is None and left:
            return None
        if of_variant is not None:
            config = ledger.config(values)
            evaluations = -(-config.num_steps // config.eval_every_steps) / config.num_steps
            processes = left / config.num_steps / ledger.comparison.num_seeds_at_once
            seconds += left * (of_variant.step + evaluations * of_variant.evaluation)
            seconds += math.ceil(processes) * (PROCESS_SECONDS + of_variant.start)
    return seconds
