"""The plan of a comparison in words, with an estimate of its time."""

from rnnjax.comparing import axes
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.measuring import estimate
from rnnjax.comparing.sizes import num_parameters


def describe(ledger: Ledger, num_jobs: int) -> str:
    """Returns a line for each variant, and what is to be done in all.

    Args:
      ledger: of the comparison.
      num_jobs: processes at a time.
    """
    comparison = ledger.comparison
    lines = []
    for values in comparison.variants:
        config = ledger.config(values)
        name = axes.variant_name(values) or "all"
        size = f", {config.model.hidden_size} units" if comparison.compute != "as_set" else ""
        lines.append(f"  {name}: {num_parameters(config):,} parameters{size}")
    trials = f"{_number(comparison.num_trials, 'trial')} and " if comparison.space else ""
    seeds = _number(comparison.num_seeds, "seed")
    held_out = comparison.config.data.validation_size
    total = sum(map(ledger.num_steps, comparison.variants))
    left = sum(map(ledger.num_steps_left, comparison.variants))
    seconds = estimate(ledger)
    return "\n".join(
        [
            f"{_number(len(lines), 'variant')}, {trials}{seeds} each; "
            f"{held_out:,} training images are held out to choose by",
            *lines,
            f"{left:,} of {total:,} steps are left"
            + ("" if seconds is None or not left else f", {_duration(seconds / num_jobs)}"),
        ]
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    """Returns about how long something takes.

    >>> _duration(8_100)
    'about 2 h 15 min'
    """
    minutes = max(1, round(seconds / 60))
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest} min" if hours else f"about {minutes} min"
