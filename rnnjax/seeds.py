"""Which seeds a run has, and where the summaries of each are."""

from pathlib import Path

from rnnjax.config import Config

FOLDER = "seed_"  # begins the names of the folders of single seeds


def seeds_of(config: Config) -> range:
    """Returns the seeds of the independent runs that are trained at once.

    >>> list(seeds_of(Config(seed=3, seeds=2)))
    [3, 4]
    """
    return range(config.seed, config.seed + config.seeds)


def folder_of(workdir: Path, config: Config, seed: int) -> Path:
    """Returns the folder of a seed's summaries: the workdir itself, if there is one seed only."""
    return workdir if config.seeds == 1 else workdir / f"{FOLDER}{seed}"
