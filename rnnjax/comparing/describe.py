"""The plan of a comparison in words, with an estimate of its time."""

from rnnjax.comparing import axes
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.sizes import num_parameters
from rnnjax.system.messages import printable


def describe(ledger: Ledger) -> str:
    """Returns a line for each variant, and what is to be done in all."""
    comparison = ledger.comparison
    lines = []
    for values in comparison.variants:
        config = ledger.config(values)
        name = printable(axes.variant_name(values)) or "all"
        lines.append(f"  {name}: {num_parameters(config):,} parameters, {config.num_steps:,} steps")
    trials = f"{comparison.num_trials} trials and " if comparison.space else ""
    held_out = comparison.config.data.validation_size
    left = ledger.num_steps() - ledger.num_finished_steps()
    return "\n".join(
        [
            f"{len(lines)} variants, {trials}{comparison.num_seeds} seeds each; "
            f"{held_out:,} training images are held out to choose by",
            *lines,
            f"{left:,} of {ledger.num_steps():,} steps are left",
        ]
    )
