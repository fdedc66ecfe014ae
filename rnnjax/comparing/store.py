"""What a comparison has stored of itself, in plan.json: it may grow, but not become another one."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax import stored_config
from rnnjax.comparing import plan
from rnnjax.comparing.plan import RUNS, TRIALS, Comparison
from rnnjax.comparing.values import CELL
from rnnjax.errors import ConfigError
from rnnjax.runs import lock, sealed
from rnnjax.system.files import UntrustedFileError, check_kind

PLAN = "plan.json"
DRAFT = "plan.tmp"  # which a kill may leave
REMEDY = "Name another --out, or the same settings"


class Stored(NamedTuple):
    """What is in the file; dicts are added to as the comparison goes on."""

    settings: dict[str, Any]  # that all variants share
    varied: list[str]
    compute: str
    cells: dict[str, str]  # own ones: the sha256 of the file of each
    blocks: dict[str, list[tuple[int, int]]]  # by folder: first seed and number of the runs begun
    sizes: dict[str, int]  # hidden sizes that were found
    target: float = 0.0  # parameters or seconds of a step that all rows are to have; 0: not set yet


def write(out: Path, stored: Stored) -> None:
    """Writes it; raises an OSError if that fails."""
    sealed.write(out / PLAN, stored._asdict())


def read(comparison: Comparison) -> Stored:
    """Returns what the folder of a comparison has stored, or what is to be; nothing is written.

    Raises:
      ConfigError: if it is of another comparison, or of something else.
    """
    out, path = comparison.out, comparison.out / PLAN
    varied = sorted(axis.name for axis in (*comparison.axes, *comparison.space))
    new = Stored(_settings(comparison, varied), varied, comparison.compute, {}, {}, {})
    try:
        for folder in (out, out / RUNS, out / TRIALS):
            check_kind(folder, stat.S_IFDIR)
        check_kind(path, stat.S_IFREG)
        stored = _parse(sealed.read(path)) if path.exists() else None
        changes = [] if stored is None else list(_changes(stored, new))
    except UntrustedFileError as error:
        raise ConfigError(f"--out={out}: {error}") from error
    except OSError as error:
        raise ConfigError(f"--out={out} cannot be read: {error.strerror or error}") from error
    except sealed.SHAPE_ERRORS as error:
        raise ConfigError(f"{path} is damaged; bring it back, or name another --out") from error
    if stored is None:
        _check_empty(out)
    if changes:
        raise ConfigError(f"{out} holds another comparison: {'; '.join(changes)}. {REMEDY}")
    return stored or new


def _parse(content: dict[str, Any]) -> Stored:
    stored = Stored(**content)
    blocks = {
        folder: [(sealed.count(first), sealed.count(number)) for first, number in of_folder]
        for folder, of_folder in stored.blocks.items()
    }
    sizes = {key: sealed.count(size) for key, size in stored.sizes.items()}
    target = sealed.number(stored.target)
    parts = (stored.settings, dict), (stored.cells, dict), (stored.varied, list)
    if not all(isinstance(part, kind) for part, kind in parts):
        raise TypeError("settings, cells or varied are something else")
    varied = [str.strip(name) for name in stored.varied]
    return stored._replace(blocks=blocks, sizes=sizes, target=target, varied=varied)


def _settings(comparison: Comparison, varied: list[str]) -> dict[str, Any]:
    """Returns the settings that all variants share."""
    config = comparison.config
    if CELL not in varied:
        config = plan.config_of(comparison, {})  # an own cell with its place and its sha256
    settings = stored_config.to_dict(config)
    return {
        name: value
        for name, value in settings.items()
        if name not in (*varied, *stored_config.WITHOUT_EFFECT)
    }


def _changes(stored: Stored, new: Stored) -> Iterator[str]:
    """Yields what differs from the comparison that a folder holds."""
    if stored.varied != new.varied:
        yield f"it varies {', '.join(stored.varied)}, not {', '.join(new.varied)}"
    if stored.compute != new.compute:
        yield f"--compute was {stored.compute} and is now {new.compute}"
    for name, value in new.settings.items():
        if name in stored.settings and stored.settings[name] != value:
            yield f"config.{name} was {stored.settings[name]!r} and is now {value!r}"


def _check_empty(out: Path) -> None:
    """Raises a ConfigError if a folder holds something, but no comparison."""
    there = (
        [name for name in os.listdir(out) if name not in (lock.NAME, DRAFT)] if out.is_dir() else []
    )
    if there:
        raise ConfigError(
            f"--out={out} holds other files and no comparison, such as {sorted(there)[0]!r}; name "
            "a new folder"
        )
