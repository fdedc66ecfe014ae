"""What the statistics of a comparison hold, where the truth is known because it was made up.

    python -m benchmarks.coverage [--repeats 4000]

First how often the interval over seeds covers the mean, of accuracies of several distributions and
beside the intervals that are usual. Then how often two variants that are equally good are told
apart at 5 %, with other seeds and other images each time, beside the tests that are usual; and how
often two are that differ.
"""

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from rnnjax.comparing.statistics import FEWEST_SEEDS, difference, estimate

Random = np.random.Generator
MEAN, SD = 0.87, 0.003  # of an accuracy over seeds
DISTRIBUTIONS: Mapping[str, Callable[[Random, int], np.ndarray]] = {  # of mean 0 and sd 1
    "normal": lambda random, n: random.standard_normal(n),
    "skewed": lambda random, n: (2 - random.gamma(2, size=n)) / np.sqrt(2),
    "heavy tails": lambda random, n: random.standard_t(4, n) / np.sqrt(2),
    "uniform": lambda random, n: random.uniform(-np.sqrt(3), np.sqrt(3), n),
}
NUM_SEEDS = (FEWEST_SEEDS, 5, 10)
SPREADS = {  # of the seeds and of the images, by how they differ from variant to variant; logits
    "seeds alike, images alike": (0.0, 0.0),
    "seeds alike, images differ": (0.0, 0.7),
    "seeds differ, images alike": (0.1, 0.0),
    "both differ": (0.1, 0.7),
}


def covers(random: Random, distribution: str, num_seeds: int) -> bool:
    """Returns whether the interval over seeds covers the mean, once."""
    made_up = estimate(MEAN + SD * DISTRIBUTIONS[distribution](random, num_seeds))
    return made_up.low <= MEAN <= made_up.high


def usual_covers(random: Random, distribution: str, num_seeds: int) -> tuple[bool, bool, bool]:
    """Returns the same of the percentile bootstrap, BCa and Student's t."""
    values = DISTRIBUTIONS[distribution](random, num_seeds)
    intervals = [
        stats.bootstrap((values,), np.mean, n_resamples=999, method=method, rng=random)
        for method in ("percentile", "BCa")
    ]
    low, high = stats.t.interval(0.95, num_seeds - 1, values.mean(), stats.sem(values))
    covered = [i.confidence_interval.low <= 0 <= i.confidence_interval.high for i in intervals]
    return covered[0], covered[1], bool(low <= 0 <= high)


def told_right(
    random: Random, num_seeds: int, num_images: int, spreads: tuple[float, float], gain: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which images two variants tell right, `[S, N]`, about 87 % of them.

    Args:
      random: what draws them.
      num_seeds: of each variant.
      num_images: that both are asked.
      spreads: of the seeds' effects, which are skewed, and of what images are to one variant more
        than to the other; normal, logits.
      gain: by which the second variant is better, logits.
    """
    of_seeds, of_images = spreads
    hardness = 2 * random.standard_normal(num_images)  # the same for both
    right = []
    for n in range(2):
        seeds = of_seeds * DISTRIBUTIONS["skewed"](random, num_seeds)[:, None]
        images = of_images * random.standard_normal(num_images)
        noise = random.standard_normal((num_seeds, num_images))
        right.append(2.6 + n * gain + hardness + images + seeds + noise > 0)
    return right[0], right[1]


def usual_p(first: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Returns p of a paired t-test over seeds, and of McNemar's over the images of one seed."""
    over_seeds = stats.ttest_rel(other.mean(1), first.mean(1)).pvalue
    won, lost = (first[0] < other[0]).sum(), (first[0] > other[0]).sum()
    return float(over_seeds), float(stats.binomtest(int(won), int(won + lost)).pvalue)


def print_coverage(random: Random, repeats: int) -> None:
    print(
        "| accuracies | seeds | ours | percentile | BCa | Student's t |\n|---|---|---|---|---|---|"
    )
    for distribution in DISTRIBUTIONS:
        for n in (3, 4, 5, 7, 10):
            ours = np.mean([covers(random, distribution, n) for _ in range(repeats)])
            usual = [usual_covers(random, distribution, n) for _ in range(repeats)]
            cells = [f"{share:.1%}" for share in (ours, *np.mean(usual, axis=0))]
            print(f"| {distribution} | {n} | {' | '.join(cells)} |", flush=True)


def print_false_alarms(random: Random, repeats: int) -> None:
    print("| no difference | seeds | ours | paired t over seeds | McNemar, one seed |")
    print("|---|---|---|---|---|")
    for name, spreads in SPREADS.items():
        for n in NUM_SEEDS:
            pairs = (told_right(random, n, 2_000, spreads) for _ in range(repeats))
            p = [(difference(*pair).p, *usual_p(*pair)) for pair in pairs]
            cells = [f"{share:.1%}" for share in (np.array(p) <= 0.05).mean(0)]
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)


def print_power(random: Random, repeats: int) -> None:
    print("| sd over seeds | difference | seeds | told |\n|---|---|---|---|")
    for gain in (0.05, 0.1, 0.2):
        for n in NUM_SEEDS:
            pairs = [told_right(random, n, 10_000, (0.03, 0.5), gain) for _ in range(repeats)]
            told = [difference(*pair) for pair in pairs]
            sd = np.sqrt(np.mean([first.mean(1).var(ddof=1) for first, _ in pairs]))
            size, share = np.mean([(d.mean, d.p <= 0.05) for d in told], axis=0)
            print(f"| {sd:.4f} | {size:.3f} | {n} | {share:.0%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4_000)
    repeats = parser.parse_args().repeats
    random = np.random.default_rng(0)
    print("The interval of 95 % over seeds covers the mean\n")
    print_coverage(random, repeats)
    print("\nTwo variants are told apart at 5 %, 2,000 images\n")
    print_false_alarms(random, repeats)
    print("\nThe same, where they differ, 10,000 images\n")
    print_power(random, repeats // 10)


if __name__ == "__main__":
    main()
