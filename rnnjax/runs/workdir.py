"""The folder of a run: can it be written, is it free, does it hold the run that is asked for."""

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import tensorflow as tf
from clu.asynclib import AsyncError

from rnnjax.config import Config, to_dict
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs.checkpoint import arrays_of, differing
from rnnjax.runs.checkpoints import steps_in, stored_arrays
from rnnjax.runs.manifest import synchronise

# What a resumed run may change, since nothing stored depends on it. With a schedule that ends at
# num_steps, num_steps belongs to the rest.
FREE_ON_RESUME = (
    "num_steps",
    "eval_batch_size",
    "log_every_steps",
    "eval_every_steps",
    "on_nan",
    "max_skipped_steps",
    "data.data_dir",
    "data.idx_dir",
    "data.on_device",
    "checkpoint.every_steps",
    "checkpoint.keep",
)


def check_writable(workdir: Path) -> None:
    """Finds out, without leaving a trace, whether `workdir` can be made and written.

    Raises:
      ConfigError: if not.
    """
    try:
        nearest = workdir.absolute()
        while not nearest.exists():
            if nearest.is_symlink():
                raise FileNotFoundError(2, f"{nearest} is a link to nowhere")
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        raise ConfigError(f"--workdir={workdir} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def explained(workdir: Path) -> Iterator[None]:
    """Turns what files and the writers of summaries raise into an error for people.

    Raises:
      RunError: if something in the workdir cannot be read or written.
    """
    try:
        yield
    except BrokenPipeError:  # standard output has nothing to do with the workdir
        raise
    except (OSError, tf.errors.OpError, AsyncError) as error:
        cause = error.__cause__ if isinstance(error, AsyncError) else error
        # TensorFlow names its own function before the reason and repeats it on further lines.
        lines = str(cause).split("}} ")[-1].splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise RunError(
            f"{workdir} could not be read or written: {reason} -- its checkpoints are intact; once "
            "there is room and permission, the same command goes on from them"
        ) from error


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds a workdir for this process; the kernel frees it when the process dies.

    Raises:
      RunError: if another process holds it, naming that process.
      ConfigError: if something in it is a link, through which a run would write elsewhere.
    """
    for name in OWN:
        if (workdir / name).is_symlink():
            raise ConfigError(f"{workdir / name} is a link; a run writes inside its workdir only")
    with (workdir / "lock").open("a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RunError(
                f"{workdir} is in use by {file.read().strip() or 'another process'}; wait for it, "
                "stop it, or name another --workdir"
            ) from error
        except OSError as error:
            raise RunError(
                f"{workdir} cannot be locked: {error.strerror}; name a --workdir on a file system "
                "with locks"
            ) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        file.flush()
        yield


# What a run writes in its workdir.
OWN = ("lock", "config.json", "result.json", "checkpoints", "train", "test", "validation")


def unresumable_changes(config: Config, stored: dict[str, Any]) -> list[str]:
    """Returns the settings that differ from the stored ones and that a state depends on."""
    bound = ("num_steps",) if config.optimizer.schedule != "constant" else ()
    stored = to_dict(Config()) | stored  # a run may be older than a setting
    return [
        f"config.{name} was {stored.get(name)!r} and is now {value!r}"
        for name, value in to_dict(config).items()
        if (name not in FREE_ON_RESUME or name in bound) and stored.get(name) != value
    ]


def check_same_run(config: Config, workdir: Path, create_state: Callable[[], Any]) -> None:
    """Refuses to continue a run under settings that its state does not fit.

    Args:
      config: the settings.
      workdir: where there may be a run.
      create_state: makes the state that the settings ask for; only its shapes are computed.

    Raises:
      ConfigError: naming the settings and the arrays that differ from the stored ones, or saying
        that they cannot be told.
    """
    config_file = workdir / "config.json"
    if not any((workdir / "checkpoints").glob("[0-9]*")):
        return  # nothing depends on the settings yet
    if not config_file.is_file():
        if steps_in(workdir / "checkpoints"):
            raise ConfigError(
                f"{workdir} has checkpoints, but no config.json that tells which run they are of; "
                "bring it back from a backup, or name another --workdir"
            )
        return
    changes = unresumable_changes(config, read_config(config_file))
    if changes:
        stored = stored_arrays(workdir / "checkpoints")
        if stored is not None:
            changes += differing(stored, arrays_of(jax.eval_shape(create_state)))
        raise ConfigError(
            f"{workdir} holds another run: {'; '.join(changes)}. Name another --workdir or the "
            "same settings"
        )


def read_config(config_file: Path) -> dict[str, Any]:
    """Returns the settings stored with a run.

    Raises:
      ConfigError: if they cannot be read.
    """
    try:
        stored = json.loads(config_file.read_text())
        if not isinstance(stored, dict):
            raise TypeError(type(stored).__name__)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{config_file} is damaged, so that the run there cannot be told from this one; bring "
            "it back from a backup, or name another --workdir"
        ) from error
    return stored


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes a file whole or not at all, whenever the process is killed."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # a link there would lead the text elsewhere
    draft.write_text(json.dumps(value, indent=2) + "\n")
    synchronise(draft)
    os.replace(draft, path)
