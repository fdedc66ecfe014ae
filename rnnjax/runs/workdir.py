"""The folder of a run: can it be written, and does it hold the run that is asked for."""

import contextlib
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jaxtyping import PyTree

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.errors import ConfigError, RunError
from rnnjax.runs import lock, result, sealed
from rnnjax.runs.checkpoint import array_differences, describe_arrays
from rnnjax.runs.steps import newest_metadata
from rnnjax.seeds import FOLDER
from rnnjax.system.files import UntrustedFileError, check_kind

CONFIG, CHECKPOINTS = "config.json", "checkpoints"

# All that a run writes in its workdir.
FILES = (lock.NAME, CONFIG, result.NAME)
FOLDERS = (CHECKPOINTS, "train", "test", "validation")
IDENTITY = "run"  # in CONFIG, beside the settings

# What a resumed run may change, since nothing stored depends on it. With a schedule that ends at
# num_steps, num_steps belongs to the rest.
FREE_ON_RESUME = (
    "num_steps",
    "eval_every_steps",
    "on_nan",
    "max_skipped_steps",
    *stored_config.WITHOUT_EFFECT,
)


# What it means that a setting has changed which people do not set.
MEANING = {"model.cell_sha256": " (the file of the cell has changed)"}


def check_writable(workdir: Path, argument: str = "--workdir") -> None:
    """Finds out, without leaving a trace, whether a folder can be made and written.

    Args:
      workdir: the folder.
      argument: by which people name it.

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
        raise ConfigError(f"{argument}={workdir} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def os_error_as_run_error(workdir: Path) -> Iterator[None]:
    """Turns an OSError of files into an error that names the workdir and how to go on.

    Raises:
      RunError: if something in the workdir cannot be read or written.
    """
    try:
        yield
    except BrokenPipeError:  # standard output has nothing to do with the workdir
        raise
    except UntrustedFileError as error:
        raise ConfigError(f"{error}; a run reads and writes inside its workdir only") from error
    except OSError as error:
        if not workdir.exists():
            raise RunError(f"{workdir} was removed while a run was writing to it") from error
        raise RunError(
            f"{workdir} could not be read or written: {error}; nothing is lost: once that is "
            "mended, give the same command again"
        ) from error


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[Callable[[], None]]:
    """Makes a workdir if there is none, and locks it for this process.

    If nothing else was written when it is free again, nothing is left of it.

    Yields:
      A function that raises a RunError once the workdir is no longer held.

    Raises:
      ConfigError: if something in it is a link or otherwise not what a run writes.
      RunError: if another process holds it.
    """
    made = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    workdir.mkdir(parents=True, exist_ok=True)
    check_kinds(workdir)
    try:
        with lock.locked(workdir) as check_held:
            check_kinds(workdir)  # again, for what was planted meanwhile
            there = {*_folders(workdir)}
            try:
                yield check_held
            finally:
                for folder in [folder for folder in _folders(workdir) if folder not in there]:
                    with contextlib.suppress(OSError):  # it is not empty, as a rule
                        folder.rmdir()
    finally:
        with contextlib.suppress(OSError):  # it is not empty, as a rule
            for folder in made:
                folder.rmdir()


def check_kinds(workdir: Path) -> None:
    """Raises a ConfigError if a file or folder of a run is a link, a FIFO, or anything else."""
    seeds = [*workdir.glob(f"{FOLDER}*")]
    folders = [path / name for path in (workdir, *seeds) for name in FOLDERS]
    paths = ([workdir / name for name in FILES], stat.S_IFREG), ([*seeds, *folders], stat.S_IFDIR)
    for of_kind, kind in paths:
        for path in of_kind:
            try:
                check_kind(path, kind)
            except UntrustedFileError as error:
                raise ConfigError(
                    f"{error}; a run reads and writes inside its workdir only"
                ) from error


def _folders(workdir: Path) -> list[Path]:
    """Returns the folders that a run makes, of those that there are, the innermost first."""
    seeds = sorted(workdir.glob(f"{FOLDER}*"))
    inside = [path / name for path in (*seeds, workdir) for name in FOLDERS]
    return [path for path in (*inside, *seeds) if path.exists()]


def unresumable_changes(config: Config, stored: dict[str, object]) -> list[str]:
    """Returns the settings that differ from the stored ones and that a state depends on."""
    free = {*FREE_ON_RESUME}
    if config.optimizer.schedule != "constant":
        free.remove("num_steps")
    stored = stored_config.to_dict(Config()) | stored  # a run may be older than a setting
    model, class_name = config.model, str(stored["model.cell"]).rpartition(":")[2]
    if stored["model.cell_sha256"] == model.cell_sha256 and model.cell.endswith(f":{class_name}"):
        free.add("model.cell")  # the same file, wherever it is now
    return [
        f"config.{name} was {stored.get(name)!r} and is now {value!r}{MEANING.get(name, '')}"
        for name, value in stored_config.to_dict(config).items()
        if name not in free and stored.get(name) != value
    ]


def check_same_run(config: Config, workdir: Path, create_state: Callable[[], PyTree]) -> None:
    """Refuses to continue a run under settings that its state does not fit.

    Args:
      config: the settings.
      workdir: where there may be a run.
      create_state: makes the state, a tree of arrays, that the settings ask for; only its shapes
        are computed.

    Raises:
      ConfigError: naming the settings and the arrays that differ from the stored ones, or saying
        that they cannot be told.
    """
    checkpoints = workdir / CHECKPOINTS
    stored = os.listdir(checkpoints) if checkpoints.exists() else []
    has_steps = any(name[0].isdecimal() for name in stored)  # damaged ones too, or half replaced
    if not has_steps and not (workdir / result.NAME).exists():
        return  # nothing depends on the settings yet
    if not (workdir / CONFIG).is_file():
        raise ConfigError(
            f"{workdir} has checkpoints or a {result.NAME}, but no {CONFIG} that tells which run "
            "they are of; bring it back from a backup, or name another --workdir"
        )
    changes = unresumable_changes(config, _stored_settings(workdir))
    if changes:
        newest = newest_metadata(checkpoints)
        if newest is not None:
            wanted = describe_arrays(jax.eval_shape(create_state))
            changes += array_differences(newest.arrays, wanted)
        raise ConfigError(
            f"{workdir} holds another run: {'; '.join(changes)}. Name another --workdir or the "
            "same settings"
        )


def read_config(workdir: Path) -> Config:
    """Returns the settings of the run in a workdir.

    Raises:
      ConfigError: if there is no run, or its settings are damaged.
      OSError: if they cannot be read.
    """
    if not workdir.is_dir():
        raise ConfigError(f"{workdir} is no folder")
    check_kinds(workdir)
    if not (workdir / CONFIG).is_file():
        raise ConfigError(f"{workdir} holds no run: there is no {CONFIG}")
    return stored_config.from_dict(_stored_settings(workdir))


def identity(workdir: Path) -> str:
    """Returns what no other run is called; a new one if there is no run yet.

    Raises:
      ConfigError: if it cannot be told.
      OSError: if it cannot be read.
    """
    if not (workdir / CONFIG).is_file():
        return uuid.uuid4().hex
    return str(_stored(workdir).get(IDENTITY, ""))


def write_config(workdir: Path, config: Config, run: str) -> None:
    """Writes the settings of a run, and its identity."""
    sealed.write(workdir / CONFIG, {**stored_config.to_dict(config), IDENTITY: run})


def _stored_settings(workdir: Path) -> dict[str, object]:
    """Returns what config.json holds of settings, {dotted name: value}."""
    return {name: value for name, value in _stored(workdir).items() if name != IDENTITY}


def _stored(workdir: Path) -> dict[str, object]:
    try:
        return sealed.read(workdir / CONFIG)
    except sealed.DamagedFileError as error:
        raise ConfigError(
            f"{workdir / CONFIG} is damaged, so that the run there cannot be told from this one; "
            "bring it back from a backup, or name another --workdir"
        ) from error
