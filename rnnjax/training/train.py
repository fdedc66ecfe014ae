"""A whole run, from settings to result: the way of the data, from top to bottom."""

import time
from pathlib import Path

from rnnjax import cell_source
from rnnjax.config import Config
from rnnjax.data.sequences import num_features
from rnnjax.runs import resume
from rnnjax.runs.result import Result
from rnnjax.seeds import seeds_of
from rnnjax.system import agreement, devices, distributed
from rnnjax.system.files import local_path
from rnnjax.training.due import due
from rnnjax.training.first_check import check_own_cell
from rnnjax.training.memory import check_memory
from rnnjax.training.start import open_run
from rnnjax.training.task import Task, build_task, create_states
from rnnjax.validation import validate


def train(config: Config, workdir: str | Path) -> Result:
    """Trains, or goes on from the newest intact checkpoint in a workdir.

    Killed at any moment and called again, it ends with the same bits as if it had never been
    killed: parameters, optimiser, summaries and the order of the images.

    >>> import tempfile
    >>> from rnnjax.config import Config, DataConfig, ModelConfig
    >>> config = Config(num_steps=2, data=DataConfig("garments"), model=ModelConfig(hidden_size=4))
    >>> with tempfile.TemporaryDirectory() as workdir:
    ...     train(config, workdir).steps  # doctest: +ELLIPSIS
    step 1 was done ...
    2

    Args:
      config: the settings; `rnnjax.config.describe` says what there is.
      workdir: folder of checkpoints, summaries, settings and result; it is made if need be, and
        `~` in it is expanded.

    Returns:
      What the run has come to, also when it was finished before.

    Raises:
      ConfigError: for settings that do not fit, before anything is written.
      DataError: if the data is missing or altered, before anything is written.
      NonFiniteError: if the loss or the state became NaN or infinite; no checkpoint has it.
      StoppedError: after SIGTERM or SIGINT, when all is saved.
      RunError: if another process trains in the workdir, or it cannot be read or written.
    """
    started, workdir = time.monotonic(), local_path("--workdir", workdir)
    validate(config)
    devices.start(config.parallel.host_devices)
    agreement.check_same_devices()
    config = agreement.succeed_in_all(lambda: cell_source.locate(config, workdir))
    agreement.check_same_settings(config)
    used, task = agreement.succeed_in_all(lambda: _checked_task(config))
    result = resume.finished(config, workdir, lambda: create_states(task, seeds_of(config)))
    if result is not None:
        distributed.print_on_primary(f"{workdir} has finished already: {result}")
        return result

    with open_run(config, workdir, used, task, started) as run:
        state, step = run.first_state, run.first_step
        if run.evaluates_first and run.evaluate(step, state):
            run.save(step, state)
        run.stop.poll()
        while step < config.num_steps and not run.stop.requested:
            step, state, last_hidden = run.train_steps(step, state)
            todo = due(step, config)
            if todo.log:
                state = run.log(step, state)
            if todo.evaluate:
                run.evaluate(step, state, last_hidden)
            run.stop.poll()
            if todo.save or run.improved or run.stop.requested:
                run.save(step, state)
        result = run.finish(step)
    distributed.print_on_primary(
        f"{result}; checkpoints, summaries and result.json are in {workdir}"
    )
    return result


def _checked_task(config: Config) -> tuple[devices.Devices, Task]:
    """Returns what is trained, and on which devices, once both are known to fit this machine."""
    used = devices.choose(config.parallel)
    used.check_batch_size(config.batch_size, config.num_microbatches)
    task = build_task(config)
    check_own_cell(task.model, num_features(config.data.sequence, task.dataset.image_shape))
    check_memory(config, used, task)
    return used, task
