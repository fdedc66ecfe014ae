"""Statistics over seeds and images, against SciPy's and statsmodels', and where the truth is known.

The predictions are drawn by a seeded generator, `benchmarks.coverage.told_right`.
"""

import numpy as np
import pandas
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from benchmarks.coverage import MEAN, SD, SPREADS, covers, told_right
from rnnjax.comparing.statistics import Difference, difference, estimate, holm, verdict

BOTH = SPREADS["both differ"]


def most_by_chance(share: float, repeats: int) -> float:
    """Returns how far an observed share may be from the true one: three standard errors."""
    return 3 * np.sqrt(share * (1 - share) / repeats)


def test_mean_and_spread() -> None:
    values = np.random.default_rng(0).normal(MEAN, SD, 7)
    actual, expected = estimate(np.append(values, np.nan)), stats.describe(values)
    assert actual.n == expected.nobs
    assert actual.mean == pytest.approx(expected.mean)
    assert actual.sd**2 == pytest.approx(expected.variance)
    assert actual.low < actual.mean < actual.high


def test_the_interval_of_many_seeds_is_that_of_scipys_bootstrap() -> None:
    """Where all kinds of bootstrap agree; of few seeds, they do not, and coverage decides."""
    random = np.random.default_rng(0)
    values = MEAN + SD * (2 - random.gamma(2, size=400))
    actual = estimate(values)
    low, high = stats.bootstrap((values,), np.mean, method="BCa", rng=random).confidence_interval
    assert [actual.low, actual.high] == pytest.approx([low, high], abs=0.05 * (high - low))


@pytest.mark.parametrize(
    ("distribution", "num_seeds", "share"),
    [("normal", 3, 0.95), ("normal", 5, 0.95), ("normal", 10, 0.95), ("skewed", 5, 0.93)],
)
def test_the_interval_covers_the_mean_as_often_as_it_says(
    distribution: str, num_seeds: int, share: float
) -> None:
    random, repeats = np.random.default_rng(1), 500
    actual = np.mean([covers(random, distribution, num_seeds) for _ in range(repeats)])
    assert abs(actual - share) < most_by_chance(share, repeats)


def test_an_interval_remains_where_accuracies_can_be() -> None:
    actual = estimate(np.array([0.97, 0.999, 1.0]))
    assert 0 < actual.low < actual.mean < actual.high == 1


@pytest.mark.parametrize(("values", "n"), [([], 0), ([np.nan], 0), ([0.5], 1), ([0.5, np.nan], 1)])
def test_too_few_seeds_have_no_interval(values: list[float], n: int) -> None:
    mean, *rest = estimate(np.array(values))
    assert mean == 0.5 if n else np.isnan(mean)
    np.testing.assert_array_equal(rest, [np.nan, n, np.nan, np.nan])


def test_seeds_that_agree_have_an_interval_of_no_width() -> None:
    assert estimate(np.array([0.5, 0.5, 0.5])) == (0.5, 0, 3, 0.5, 0.5)


def test_a_difference_is_that_of_an_analysis_of_variance() -> None:
    first, other = told_right(np.random.default_rng(0), 4, 60, (0.5, 2.0), gain=1)
    table = pandas.DataFrame(
        [(s, i, float(other[s, i]) - first[s, i]) for s, i in np.ndindex(*first.shape)],
        columns=pandas.Index(["seed", "image", "value"]),
    )
    variances = anova_lm(ols("value ~ C(seed) + C(image)", table).fit())
    seeds, images, rest = (variances["sum_sq"] / variances["df"]).to_numpy().tolist()
    assert min(seeds, images) > rest
    images -= rest
    error = np.sqrt((seeds + images) / len(table))
    freedom = (seeds + images) ** 2 / (seeds**2 / 3 + images**2 / 59)
    mean = table["value"].mean()
    actual = difference(first, other)
    low, high = stats.t.interval(0.95, freedom, mean, error)
    expected = (mean, low, high, 2 * stats.t.sf(abs(mean) / error, freedom), 4)
    assert actual == pytest.approx(expected)
    opposite = difference(other, first)
    assert opposite == pytest.approx((-mean, -high, -low, expected[3], 4))


def test_a_difference_is_a_paired_t_test_where_images_are_all_alike() -> None:
    """No image is missed by two seeds, so that none is hard for all."""
    first, other = np.ones((2, 3, 600), bool)
    for seed, (few, many) in enumerate([(20, 60), (30, 40), (10, 90)]):
        first[seed, 200 * seed : 200 * seed + few] = False
        other[seed, 200 * seed + 100 : 200 * seed + 100 + many] = False
    actual, expected = difference(first, other), stats.ttest_rel(other.mean(1), first.mean(1))
    assert actual.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert [actual.low, actual.high] == pytest.approx([low, high])


@pytest.mark.parametrize("num_seeds", [3, 5])
@pytest.mark.parametrize("spreads", SPREADS.values(), ids=[*SPREADS])
def test_equals_are_told_apart_in_at_most_one_of_twenty_comparisons(
    num_seeds: int, spreads: tuple[float, float]
) -> None:
    random, repeats = np.random.default_rng(2), 500
    pairs = (told_right(random, num_seeds, 1_000, spreads) for _ in range(repeats))
    actual = np.mean([difference(*pair).p <= 0.05 for pair in pairs])
    assert actual < 0.05 + most_by_chance(0.05, repeats)


def test_the_interval_of_a_difference_covers_it() -> None:
    random, repeats = np.random.default_rng(3), 500
    truth = np.mean([np.subtract(*told_right(random, 100, 20_000, BOTH, 0.5)[::-1], dtype=float)])
    pairs = (told_right(random, 5, 1_000, BOTH, 0.5) for _ in range(repeats))
    covered = [low <= truth <= high for _, low, high, _, _ in (difference(*p) for p in pairs)]
    assert np.mean(covered) > 0.95 - most_by_chance(0.95, repeats)


def test_seeds_that_happen_to_agree_prove_nothing() -> None:
    first, other = np.ones((2, 3, 100), bool)
    other[np.arange(3), np.arange(3)] = False  # each seed misses one image, another one
    assert difference(first, other).p > 0.05


def test_equal_predictions_do_not_differ() -> None:
    right = told_right(np.random.default_rng(0), 3, 100, BOTH)[0]
    assert difference(right, right) == (0, 0, 0, 1, 3)
    everywhere = difference(np.zeros((3, 100), bool), np.ones((3, 100), bool))
    assert everywhere == (1, 1, 1, 0, 3)


@pytest.mark.parametrize("num_seeds", [0, 1, 2])
def test_of_too_few_seeds_nothing_is_told(num_seeds: int) -> None:
    first, other = np.zeros((num_seeds, 100), bool), np.ones((num_seeds, 100), bool)
    actual = difference(first, other)
    np.testing.assert_array_equal(actual, [1 if num_seeds else np.nan, *[np.nan] * 3, num_seeds])
    assert verdict(actual, np.nan) == "too few seeds"


def test_holm() -> None:
    p = np.random.default_rng(0).random(20) ** 4
    expected = np.asarray(multipletests(p, method="holm")[1])
    np.testing.assert_allclose(holm(p), expected)
    untested = np.insert(p, [0, 7], np.nan)
    np.testing.assert_allclose(holm(untested), np.insert(expected, [0, 7], np.nan))
    assert holm(np.array([])).size == 0


def test_verdicts() -> None:
    def word(mean: float, p: float) -> str:
        return verdict(Difference(mean, mean - 1, mean + 1, p, 5), p)

    assert [word(0.1, 0.04), word(-0.1, 0.05)] == ["better", "worse"]
    assert word(0.1, 0.06) == "cannot tell"
