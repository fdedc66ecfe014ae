"""What can be told of few runs: the mean over seeds, and whether two variants differ.

An interval of the mean is a studentized bootstrap over seeds, smoothed: a resample of n seeds gets
normal noise of sd / sqrt(n) on each value, which gives it the spread that n - 1 degrees of freedom
take away (Silverman & Young, 1987; Hesterberg, 2004). The percentile and BCa intervals cannot
reach beyond the seeds and cover a mean of five about 83 % of the time instead of 95 %; without the
noise, resamples of one value alone have no spread, and three seeds no end.

Two variants are compared on the same seeds and the same images. Seeds are a sample, and so are
images (Bouthillier et al., 2021): a test over seeds alone says nothing about other images, one over
images alone nothing about other seeds. So the differences D[s, i] = right of one - right of the
other are a table of two crossed random factors, as readers and cases of a medical study are
(Dorfman, Berbaum & Metz, 1992; Hillis, 2007), with the mean squares of a two-way analysis of
variance,

    variance of the mean of D = (MS_seeds + max(MS_images - MS_rest, 0)) / (S N),

and t of this has Satterthwaite's degrees of freedom. Unlike Hillis's, MS_seeds is MS_rest at least,
its expectation where seeds do not matter, so that seeds which happen to agree prove nothing.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

LEVEL = 0.95
RESAMPLES = 9_999
FEWEST_SEEDS = 3  # that are tested: with two, t is 12.7 before it tells anything


class Estimate(NamedTuple):
    """Of an accuracy over seeds; NaN where there are too few of them."""

    mean: float
    sd: float  # over seeds, with n - 1
    n: int  # seeds
    low: float  # of the interval of the mean over all seeds, on the same images
    high: float


class Difference(NamedTuple):
    """Of two accuracies on the same seeds and images; NaN where seeds are too few to tell."""

    mean: float
    low: float  # of the interval of the mean over all seeds and images, not corrected
    high: float
    p: float  # that of a test of no difference, not corrected
    n: int  # seeds that both have


def estimate(accuracies: Float[np.ndarray, " S"]) -> Estimate:
    """Returns the mean over seeds and how far it can be believed.

    Args:
      accuracies: in [0, 1]; NaN of seeds that failed, which do not count.
    """
    values = accuracies[np.isfinite(accuracies)]
    n = len(values)
    if n < 2:
        mean = float(values[0]) if n else np.nan
        return Estimate(mean, np.nan, n, np.nan, np.nan)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    lowest, highest = _studentized((values - mean) / sd) if sd > 0 else (0.0, 0.0)
    error = sd / np.sqrt(n)
    low, high = np.clip((mean - highest * error, mean - lowest * error), 0, 1)
    return Estimate(mean, sd, n, float(low), float(high))


def _studentized(residuals: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """Returns between which values of t the means of resampled residuals lie."""
    n = len(residuals)
    random = np.random.default_rng(0)  # always the same, so that a table is the same again
    resamples = residuals[random.integers(n, size=(RESAMPLES, n))]
    resamples += random.standard_normal((RESAMPLES, n)) / np.sqrt(n)
    t = resamples.mean(1) / (resamples.std(1, ddof=1) / np.sqrt(n))
    low, high = np.quantile(t, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def difference(first: Bool[np.ndarray, "S N"], other: Bool[np.ndarray, "S N"]) -> Difference:
    """Returns how much more accurate the other is than the first.

    Args:
      first: whether each image is told right, of each seed.
      other: the same, of the same seeds and images.
    """
    table = other.astype(np.float64) - first
    num_seeds, num_images = table.shape
    mean = float(table.mean()) if table.size else np.nan
    if num_seeds < FEWEST_SEEDS or num_images < 2:
        return Difference(mean, np.nan, np.nan, np.nan, num_seeds)
    of_seeds = num_images * np.square(table.mean(1) - mean).sum()
    of_images = num_seeds * np.square(table.mean(0) - mean).sum()
    rest = np.square(table - mean).sum() - of_seeds - of_images
    rest /= (num_seeds - 1) * (num_images - 1)
    seeds = max(of_seeds / (num_seeds - 1), rest)
    images = max(of_images / (num_images - 1) - rest, 0)
    if seeds + images <= 0:  # the same difference everywhere: all images, or none
        return Difference(mean, mean, mean, float(mean == 0), num_seeds)
    error = np.sqrt((seeds + images) / table.size)
    freedom = (seeds + images) ** 2 / (seeds**2 / (num_seeds - 1) + images**2 / (num_images - 1))
    margin = error * special.stdtrit(freedom, (1 + LEVEL) / 2)
    p = 2 * special.stdtr(freedom, -abs(mean) / error)
    return Difference(mean, float(mean - margin), float(mean + margin), float(p), num_seeds)


def holm(p: Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """Returns p-values corrected for being several, by Holm's method (1979).

    If all of them up to 0.05 are called differences, one or more are wrongly called so in at most
    5 % of all such tables.

    Args:
      p: NaN where nothing was tested, which stays so and does not count.
    """
    corrected = np.full_like(p, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def verdict(difference: Difference, corrected_p: float) -> str:
    """Returns in a word what a difference to the first row means."""
    if np.isnan(corrected_p):
        return "too few seeds"
    if corrected_p > 1 - LEVEL:
        return "cannot tell"
    return "better" if difference.mean > 0 else "worse"
