"""A comparison that never was, of drawn predictions, with what tables find hard."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.coverage import told_right
from rnnjax import stored_config
from rnnjax.comparing.results import Run, Variant
from rnnjax.config import Config
from rnnjax.reporting.page.run_figures import Curve

NAN = float("nan")
HOSTILE = '</script><b>` | "x" & 試験, data.sequence=columns'
MakeVariant = Callable[..., Variant]


def make_variant(name: str, right: dict[int, np.ndarray], failed: tuple[int, ...] = ()) -> Variant:
    """Returns a variant whose runs have these predictions, by seed, and of others have failed."""
    runs = [
        Run(
            variant=name,
            seed=seed,
            parameters=12_345,
            validation_accuracy=float(right[seed].mean()) - 0.01 if seed in right else NAN,
            test_accuracy=float(right[seed].mean()) if seed in right else NAN,
            test_loss=0.5 if seed in right else NAN,
            seconds=30.25,
            ms_per_step=2.0 + seed if seed in right else NAN,
            peak_memory=2.0**30,
            failure="" if seed in right else "the loss is NaN at step 20",
            settings=stored_config.to_dict(Config(seed=seed)),
        )
        for seed in sorted({*right, *failed})
    ]
    rise = 1 - np.exp(-np.arange(1, 11))
    curves = [Curve(np.arange(20, 201, 20), right[seed].mean() * rise) for seed in sorted(right)]
    return Variant(name, runs, right, curves)


@pytest.fixture(scope="session")
def variants() -> list[Variant]:
    """The first, one that is as good, a better one, one of two seeds, one that always failed."""
    random = np.random.default_rng(0)
    first, other = told_right(random, 4, 2_000, (0.02, 0.2))
    _, better = told_right(random, 4, 2_000, (0.02, 0.2), gain=2)
    return [
        make_variant("lstm", dict(enumerate(first))),
        make_variant("gru", dict(enumerate(other))),
        make_variant(HOSTILE, {0: better[0], 1: better[1], 3: better[3]}, failed=(2,)),
        make_variant("rnn", {0: first[0], 1: first[1]}),
        make_variant("indrnn", {}, failed=(0, 1)),
    ]
