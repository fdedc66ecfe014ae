"""The plan of a comparison in words, with an estimate of its time."""

from rnnjax.comparing import axes
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.measuring import estimate
from rnnjax.comparing.sizes import num_parameters
from rnnjax.comparing.values import variant_name


def describe(ledger: Ledger) -> str:
    """Returns a line for each variant, and what they have in common."""
    comparison = ledger.comparison
    configs = [ledger.config(values) for values in comparison.variants]
    lines = []
    for values, config in zip(comparison.variants, configs, strict=True):
        size = f", {config.model.hidden_size} units" if comparison.compute != axes.AS_SET else ""
        name = variant_name(values) or "all that is searched"
        lines.append(f"  {name}: {num_parameters(config):,} parameters{size}")
    trials = f"{_number(comparison.num_trials, 'trial')} and " if comparison.space else ""
    seeds = _number(comparison.num_seeds, "seed")
    held_out = " or ".join(f"{n:,}" for n in sorted({c.data.validation_size for c in configs}))
    return "\n".join(
        [
            f"{_number(len(lines), 'variant')}, {trials}{seeds} each; "
            f"{held_out} training images are held out to choose by",
            *lines,
        ]
    )


def describe_rest(ledger: Ledger) -> str:
    """Returns what is left to do, and how long it takes if that was measured."""
    variants = ledger.comparison.variants
    total, left = (sum(map(of, variants)) for of in (ledger.num_steps, ledger.num_steps_left))
    seconds = estimate(ledger) if left else None
    duration = "" if seconds is None else f", {_duration(seconds)}"
    return f"{left:,} of {total:,} steps are left{duration}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    """Returns about how long something takes.

    >>> _duration(8_100)
    'about 2 h 15 min'
    >>> _duration(83)
    'about 80 s'
    """
    if seconds < 120:
        return f"about {round(seconds / 10) * 10} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest} min" if hours else f"about {minutes} min"
