"""How a run starts: its parts are opened, each needing those before it, and closed in the end."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Imported here, and not by the thread that loads the data: while its modules are imported, TFDS
# replaces Python's `__import__` in all threads by one that returns modules not yet loaded.
import tensorflow_datasets.core  # noqa: F401

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.reporting.report import Report, open_report
from rnnjax.reporting.summaries import open_pool
from rnnjax.reporting.terminal import Display, waiting_on_primary
from rnnjax.runs import resume
from rnnjax.runs import workdir as workdirs
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.seeds import folder_of, seeds_of
from rnnjax.system import agreement, distributed
from rnnjax.system.devices import Devices, MaxOverProcesses
from rnnjax.system.signals import StopRequest
from rnnjax.training import state as train_state
from rnnjax.training.due import due
from rnnjax.training.feed import open_feed
from rnnjax.training.insight import open_insight
from rnnjax.training.over_seeds import stack as stack_seeds
from rnnjax.training.profiling import Profiler
from rnnjax.training.run import Run
from rnnjax.training.seed_reports import SeedReports
from rnnjax.training.seeds import Seeds
from rnnjax.training.task import (
    Programs,
    Task,
    compile_eval_step,
    compile_train_steps,
    create_states,
)


@contextlib.contextmanager
def open_run(
    config: Config, workdir: Path, devices: Devices, task: Task, started: float
) -> Iterator[Run]:
    """Yields the run of a workdir, which is held until it is closed, whatever happens.

    Args:
      config: the settings.
      workdir: folder of the run; it is made if need be.
      devices: that it computes on.
      task: of the settings.
      started: when the run began, on the monotonic clock.

    Raises:
      ConfigError: if the workdir holds another run, or more steps than are asked for.
      DataError: if the data is missing or altered, before anything is written.
      RunError: if another process holds the workdir, it has no checkpoint that is intact, or
        something there cannot be read or written.
    """
    with workdirs.os_error_as_run_error(workdir), contextlib.ExitStack() as stack:
        yield _start(config, workdir, devices, task, started, stack)


def _start(
    config: Config,
    workdir: Path,
    devices: Devices,
    task: Task,
    started: float,
    stack: contextlib.ExitStack,
) -> Run:
    """Returns a run, whose parts are closed with the stack."""
    stop = stack.enter_context(StopRequest(agree=MaxOverProcesses(devices)))
    # Reading and compiling each take seconds.
    with waiting_on_primary("loading data"), ThreadPoolExecutor() as background:
        loading = background.submit(datasets.load, config.data)
        state = create_states(task, seeds_of(config))
        dataset = agreement.succeed_in_all(loading.result)
        agreement.check_same_data(lambda: datasets.digests(dataset))
    check_held: Callable[[], None] | None = None

    def hold() -> None:
        nonlocal check_held
        check_held = stack.enter_context(workdirs.held(workdir))

    distributed.broadcast_from_primary(hold)
    folder = workdir / workdirs.CHECKPOINTS
    checkpoints = Checkpoints(folder, num_newest=config.checkpoint.keep)
    stack.enter_context(contextlib.closing(checkpoints))
    restored = resume.restore(config, workdir, state, checkpoints, devices.count)
    feed = open_feed(config, devices, dataset, restored.step)
    reports = _open_reports(config, workdir, dataset.name, [*feed.evaluation], restored.step, stack)
    display = stack.enter_context(Display(restored.step, config.num_steps))
    seeds = Seeds(seeds_of(config), restored.progress.failed, display.line)
    profiler = Profiler(
        folder_of(workdir, config, config.seed) / "train", config.profile_steps, restored.step
    )
    insight = open_insight(task, dataset, feed.evaluated)
    for seed, of_seed in seeds.each(state):
        _begin_report(reports[seed], dataclasses.replace(config, seed=seed, seeds=1))
        if restored.step == 0:
            reports[seed].data(dataset.class_names, *dataset.train)
            insight.show_parameters(reports[seed], 0, of_seed.params)
    return Run(
        config=config,
        task=task,
        workdir=workdir,
        devices=devices,
        feed=feed,
        programs=_programs(config, devices, task),
        checkpoints=checkpoints,
        reports=SeedReports(display, reports, insight, seeds, dataset.name),
        profiler=stack.enter_context(contextlib.closing(profiler)),
        stop=stop,
        check_held=check_held,
        first_step=restored.step,
        first_state=devices.replicate(restored.state),
        started=started,
        seconds_before=restored.progress.seconds,
        seeds=seeds,
        best_accuracy=distributed.broadcast_from_primary(checkpoints.best_accuracy),
    )


def _programs(config: Config, devices: Devices, task: Task) -> Programs:
    dropout_keys = stack_seeds([train_state.keys(seed)[1] for seed in seeds_of(config)])
    return Programs(
        compile_train_steps(task, devices, config.seeds),
        compile_eval_step(task, devices, config.seeds),
        devices.replicate(dropout_keys),
    )


def _begin_report(report: Report, config: Config) -> None:
    """Shows the settings of one seed's run."""
    report.start(
        stored_config.to_dict(config), stored_config.compared(config), stored_config.group(config)
    )


def _open_reports(
    config: Config,
    workdir: Path,
    dataset: str,
    evaluated: Sequence[str],
    first_step: int,
    stack: contextlib.ExitStack,
) -> dict[int, Report]:
    """Returns a report for each seed, which all write in one thread."""
    pool = open_pool()
    return {
        seed: stack.enter_context(
            open_report(
                folder_of(workdir, config, seed),
                pool,
                dataset,
                ("train", *evaluated),
                first_step=first_step,
                evaluates_first=due(first_step, config).evaluate,
            )
        )
        for seed in seeds_of(config)
    }
