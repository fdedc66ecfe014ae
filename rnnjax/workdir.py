"""The folder of a run: can it be written, does it hold a run that this one continues."""

import tempfile
from pathlib import Path

from rnnjax.config import Config, unresumable_changes
from rnnjax.errors import ConfigError


def check_writable(workdir: Path) -> None:
    """Finds out, without leaving a trace, whether `workdir` can be made and written.

    Raises:
      ConfigError: if not.
    """
    nearest = workdir.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        raise ConfigError(f"--workdir={workdir} cannot be written: {error.strerror}") from error


def check_same_run(config: Config, config_file: Path) -> None:
    """Refuses to continue a run under settings that its state does not fit.

    Raises:
      ConfigError: naming the settings that differ from the stored ones.
    """
    if config_file.exists() and (changes := unresumable_changes(config, config_file)):
        raise ConfigError(
            f"{config_file.parent} holds another run: {'; '.join(changes)}. Name another --workdir "
            "or the same settings"
        )
