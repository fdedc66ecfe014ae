"""How a run starts: its parts are opened, each needing those before it, and closed in the end."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Imported here, and not by the thread that loads the data: while its modules are imported, TFDS
# replaces Python's `__import__` in all threads by one that returns modules not yet loaded.
import tensorflow_datasets.core  # noqa: F401

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.reporting.report import open_report
from rnnjax.reporting.terminal import waiting_on_primary
from rnnjax.runs import resume
from rnnjax.runs import workdir as workdirs
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.system import devices, distributed
from rnnjax.system.signals import StopRequest
from rnnjax.training import state as train_state
from rnnjax.training.due import due
from rnnjax.training.feed import open_feed
from rnnjax.training.insight import open_insight
from rnnjax.training.profiling import Profiler
from rnnjax.training.run import Run
from rnnjax.training.task import Programs, Task, compile_eval_step, compile_train_steps


@contextlib.contextmanager
def open_run(config: Config, workdir: Path, task: Task, started: float) -> Iterator[Run]:
    """Yields the run of a workdir, which is held until it is closed, whatever happens.

    Args:
      config: the settings.
      workdir: folder of the run; it is made if need be.
      task: of the settings.
      started: when the run began, on the monotonic clock.

    Raises:
      ConfigError: if the workdir holds another run, or more steps than are asked for.
      DataError: if the data is missing or altered, before anything is written.
      RunError: if another process holds the workdir, it has no checkpoint that is intact, or
        something there cannot be read or written.
    """
    with workdirs.os_error_as_run_error(workdir), contextlib.ExitStack() as stack:
        yield _start(config, workdir, task, started, stack)


def _start(
    config: Config, workdir: Path, task: Task, started: float, stack: contextlib.ExitStack
) -> Run:
    """Returns a run, whose parts are closed with the stack."""
    stop = stack.enter_context(StopRequest(agree=devices.MaxOverProcesses()))
    # Reading and compiling each take seconds.
    with waiting_on_primary("loading data"), ThreadPoolExecutor() as background:
        loading = background.submit(datasets.load, config.data)
        state = task.create_state()
        dataset = loading.result()
    check_held: Callable[[], None] | None = None

    def hold() -> None:
        nonlocal check_held
        check_held = stack.enter_context(workdirs.held(workdir))

    distributed.broadcast_from_primary(hold)
    folder = workdir / workdirs.CHECKPOINTS
    checkpoints = Checkpoints(folder, num_newest=config.checkpoint.keep)
    stack.enter_context(contextlib.closing(checkpoints))
    restored = resume.restore(config, workdir, state, checkpoints)
    feed = open_feed(config, dataset, restored.step)
    report = stack.enter_context(
        open_report(
            workdir,
            dataset.name,
            ("train", *feed.evaluation),
            first_step=restored.step,
            num_steps=config.num_steps,
            evaluates_first=due(restored.step, config).evaluate,
        )
    )
    profiler = Profiler(workdir / "train", config.profile_steps, restored.step)
    insight = open_insight(task, dataset, feed.evaluated)
    report.start(stored_config.to_dict(config), stored_config.compared(config))
    if restored.step == 0:
        report.data(dataset.class_names, *dataset.train)
        insight.show_parameters(report, 0, state.params)
    _, dropout_key = train_state.keys(config.seed)
    return Run(
        config=config,
        task=task,
        workdir=workdir,
        feed=feed,
        programs=Programs(
            compile_train_steps(task), compile_eval_step(task), devices.replicate(dropout_key)
        ),
        checkpoints=checkpoints,
        report=report,
        insight=insight,
        profiler=stack.enter_context(contextlib.closing(profiler)),
        stop=stop,
        check_held=check_held,
        first_step=restored.step,
        first_state=devices.replicate(restored.state),
        started=started,
        seconds_before=restored.progress.seconds,
        best_accuracy=distributed.broadcast_from_primary(checkpoints.best_accuracy),
    )
