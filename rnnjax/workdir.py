"""The folder of a run: can it be written, does it hold a run that this one continues."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rnnjax.config import Config, unresumable_changes
from rnnjax.errors import ConfigError


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


def check_same_run(config: Config, workdir: Path) -> None:
    """Refuses to continue a run under settings that its state does not fit.

    Raises:
      ConfigError: naming the settings that differ from the stored ones.
    """
    config_file = workdir / "config.json"
    if not config_file.exists():
        if any((workdir / "checkpoints").glob("[0-9]*")):
            raise ConfigError(
                f"{workdir} has checkpoints, but no config.json that tells which run they are of; "
                "name another --workdir"
            )
        return
    try:
        changes = unresumable_changes(config, json.loads(config_file.read_text()))
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{config_file} is damaged, so that the run there cannot be told from this one; name "
            "another --workdir"
        ) from error
    if changes:
        raise ConfigError(
            f"{workdir} holds another run: {'; '.join(changes)}. Name another --workdir or the "
            "same settings"
        )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes a file whole or not at all, whenever the process is killed."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(draft, path)
