"""Which runs a comparison needs, which may begin, and what those have come to that have ended."""

import math
import stat
import statistics
from pathlib import Path

from rnnjax import stored_config
from rnnjax.cell_source import is_own
from rnnjax.comparing import outcome, plan, search, store
from rnnjax.comparing.outcome import Failure, Outcome
from rnnjax.comparing.plan import Comparison, Job, Values
from rnnjax.comparing.search import Trial
from rnnjax.comparing.values import variant_name, with_values
from rnnjax.config import Config
from rnnjax.errors import ConfigError
from rnnjax.system.files import check_kind, make_folder


class Ledger:
    """What is known of a comparison, on the disk and of this process.

    Args:
      comparison: what is asked for.

    Raises:
      ConfigError: if the folder is of another comparison, or of something else.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.outcomes: dict[str, Outcome] = {}  # by path of the run; also of those that failed
        self._stored = store.read(comparison)
        self.sizes = self._stored.sizes  # hidden sizes that were found, by `size_key`
        self.failures: dict[str, Failure] = {}  # of this process, by path
        self._proposals: dict[tuple[str, int], Values] = {}

    @property
    def target(self) -> float:
        """The parameters, or the seconds of a step, that all rows are to have; 0: not set yet."""
        return self._stored.target

    def set_target(self, target: float) -> None:
        """Sets what all rows are to have, those that come later too: what the first has as set."""
        first = self.comparison.variants[0]
        self.sizes[size_key(first)] = self.config(first).model.hidden_size
        self._stored = self._stored._replace(target=target)

    def save(self) -> None:
        """Writes which runs were begun, with which cells and which sizes."""
        for values in self.comparison.variants:
            self.config(values)  # which notes the file of an own cell
        store.write(self.comparison.out, self._stored)

    def config(self, values: Values) -> Config:
        """Returns the settings of the runs with these values, and notes the file of an own cell.

        Raises:
          ConfigError: if that file has changed since the comparison began.
        """
        config = plan.config_of(self.comparison, values, self.sizes.get(size_key(values)))
        if is_own(config.model.cell):
            sha256 = config.model.cell_sha256
            if self._stored.cells.setdefault(config.model.cell, sha256) != sha256:
                raise ConfigError(
                    f"{stored_config.short(config.model.cell)} has changed since this comparison "
                    f"began in {self.comparison.out}; name another --out, or bring the file back"
                )
        return config

    def begin(self, job: Job) -> Path:
        """Notes that a run begins, and returns its workdir, which may not be there yet.

        Raises:
          OSError: if it cannot be; an UntrustedFileError, if one of its folders is a link.
        """
        workdir = self.workdir(job)
        room, *folders = Path(job.path).parts
        if room == plan.RUNS:
            first, number = job.config.seed, job.config.seeds
            begun = self._stored.blocks.get(folders[0], [])
            others = [of for of in begun if of[0] + of[1] <= first or first + number <= of[0]]
            self._stored.blocks[folders[0]] = [*others, (first, number)]
        self.save()
        for parent in reversed(Path(job.path).parents[:-1]):
            make_folder(self.comparison.out / parent)
        check_kind(workdir, stat.S_IFDIR)  # a link that people type is followed, but not this one
        return workdir

    def workdir(self, job: Job) -> Path:
        """Returns where a run is."""
        return self.comparison.out / job.path

    def outcome(self, job: Job) -> Outcome | None:
        """Returns what a run has come to; None if it has not ended."""
        if job.path not in self.outcomes:
            workdir = self.workdir(job)
            if found := outcome.read(job.config, workdir.with_name(f"{workdir.name}.json")):
                self.outcomes[job.path] = found
        return self.outcomes.get(job.path)

    def fail(self, path: str, failure: Failure) -> None:
        """Notes why a run has come to nothing; typed again, the command tries it again."""
        self.outcomes[path] = outcome.failed(*failure)
        self.failures[path] = failure

    def due(self) -> list[Job]:
        """Returns the runs that may begin now, in the order of the table."""
        return [
            job
            for values in self.comparison.variants
            for job in self._wanted(values)
            if self.outcome(job) is None
        ]

    def _wanted(self, values: Values) -> list[Job]:
        _, waiting = self._trials(values)
        if waiting:
            return waiting
        chosen = self.chosen(values)
        return [] if chosen is None else self.seed_jobs(chosen)

    def trial_jobs(self, values: Values) -> list[Job]:
        """Returns the runs of a variant's trials that have ended, each once."""
        finished, _ = self._trials(values)
        tried = ({**values, **trial.values} for trial in finished)
        jobs = [self._trial_job(of_trial) for of_trial in tried if not self._misfit(of_trial)]
        return [job for n, job in enumerate(jobs) if job not in jobs[:n]]

    def without_trial(self, values: Values) -> tuple[Job, Outcome]:
        """Returns what stands for the trials of a variant whose values never go together."""
        finished, _ = self._trials(values)
        job = self._trial_job(values)
        reason = self._misfit({**values, **finished[0].values}) or "there is none"
        return job, outcome.failed(0, [job.config.seed], reason)

    def _misfit(self, values: Values) -> str:
        """Returns why values do not go together, such as more warmup steps than steps; or ""."""
        try:
            with_values(self.comparison.config, values)
        except ConfigError as error:
            return str(error)
        return ""

    def _trials(self, values: Values) -> tuple[list[Trial], list[Job]]:
        """Returns the trials of a variant that have ended, and those that may begin."""
        comparison, finished, waiting = self.comparison, [], []
        for number in range(comparison.num_trials):
            # Another sampler than this one proposes by what the trials before have come to.
            if waiting and comparison.sampler != "random":
                break
            key = plan.folder_of(values), number
            if key not in self._proposals:
                self._proposals[key] = search.propose(
                    comparison.space, finished, number, comparison.sampler
                )
            of_trial = {**values, **self._proposals[key]}
            if self._misfit(of_trial):
                finished.append(Trial(self._proposals[key], math.nan))
                continue
            job = self._trial_job(of_trial)
            if found := self.outcome(job):
                finished.append(Trial(self._proposals[key], plan.figure_of(found)))
            elif job not in waiting:
                waiting.append(job)
        return finished, waiting

    def _trial_job(self, values: Values) -> Job:
        return plan.trial_job(values, self.config(values))

    def chosen(self, values: Values) -> Values | None:
        """Returns the values of a variant with those that were chosen; None if no trial ended."""
        if not self.comparison.space:
            return values
        finished, _ = self._trials(values)
        number = search.best(finished)
        return None if number is None else {**values, **finished[number].values}

    def seed_jobs(self, values: Values) -> list[Job]:
        """Returns the runs of a variant over its seeds.

        Where `--seeds_at_once` asks for smaller ones, a larger one that has not ended is left.
        """
        config, most = self.config(values), self.comparison.seeds_at_once
        begun = self._stored.blocks.get(plan.folder_of(values), [])
        suiting = [
            block
            for block in begun
            if most is None
            or block[1] <= most
            or self.outcome(plan.seed_job(values, config, *block)) is not None
        ]
        blocks = plan.seed_blocks(self.comparison, suiting)
        return [plan.seed_job(values, config, *block) for block in blocks]

    def has_trials_due(self, values: Values) -> bool:
        """Whether a variant has trials that have not ended."""
        return bool(self._trials(values)[1])

    def num_steps(self, values: Values) -> int:
        """Returns the steps of all runs of a variant, of each seed."""
        runs = self.comparison.num_trials + self.comparison.num_seeds
        return runs * self.config(values).num_steps

    def num_steps_left(self, values: Values) -> int:
        """Returns the same of the runs that have not ended."""
        finished, waiting = self._trials(values)
        chosen = None if waiting else self.chosen(values)
        jobs = [] if chosen is None else self.seed_jobs(chosen)
        seeds = sum(job.config.seeds for job in jobs if self.outcome(job))
        runs = len(finished) + min(seeds, self.comparison.num_seeds)
        if not waiting and chosen is None:  # every trial has failed
            return 0
        return self.num_steps(values) - runs * self.config(values).num_steps

    def best(self) -> str:
        """Returns the name of the best variant so far with its figure; empty without any."""
        figures = {}
        for values in self.comparison.variants:
            if self._trials(values)[1] or (chosen := self.chosen(values)) is None:
                continue
            ended = [found for job in self.seed_jobs(chosen) if (found := self.outcome(job))]
            known = [figure for of in ended if not math.isnan(figure := plan.figure_of(of))]
            if known:
                figures[variant_name(chosen)] = statistics.fmean(known)
        name = max(figures, key=figures.__getitem__, default="")
        return f"best so far {name} {figures[name]:.4f}" if name else ""

    def seeds(self) -> range:
        """Returns those that are compared."""
        first = self.comparison.config.seed
        return range(first, first + self.comparison.num_seeds)


def size_key(values: Values) -> str:
    """Returns under which name the hidden size of a variant is stored, once it was found."""
    shaping = {name: value for name, value in values.items() if not name.startswith("optimizer.")}
    return plan.folder_of(shaping) if shaping else "all"
