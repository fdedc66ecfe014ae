"""Files that people ask a command for: checked before any work, and written whole or not at all."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rnnjax.errors import ConfigError, RunError
from rnnjax.system import files


def check_outputs(outputs: Mapping[str, Path | None], workdir: Path) -> None:
    """Checks, before the seconds that all else needs, that files can be made.

    Args:
      outputs: by the name of their argument; None: not asked for.
      workdir: of the run that the command reads.

    Raises:
      ConfigError: naming the argument, if one of them cannot be made, is a link or a device, such
        as /dev/stdout, which the file would replace, is in the workdir, or is another one too.
    """
    name_of: dict[str, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        check_outside(name, path, [workdir])
        _check_writable(name, path)
        other = name_of.setdefault(os.path.realpath(path), name)
        if other != name:
            raise ConfigError(f"{name}={path} is the file of {other} too; name another")


def check_outside(name: str, path: Path, workdirs: Iterable[Path]) -> None:
    """Raises a ConfigError, naming the argument, if a path is that of a workdir or inside of one.

    A run would not go on, or would take for its own, what somebody else has written there.
    """
    for workdir in workdirs:
        folder = os.path.realpath(os.path.expanduser(workdir))
        if Path(os.path.realpath(path)).is_relative_to(folder):
            raise ConfigError(
                f"{name}={path} is in the run {workdir}, where only the run itself writes; name "
                "another place"
            )


def _check_writable(name: str, path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(path.lstat().st_mode)
            if kind != stat.S_IFREG:
                raise FileExistsError(errno.EEXIST, f"it is {files.KINDS.get(kind, 'no file')}")
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            return
    except OSError as error:
        raise ConfigError(f"{name}={path} cannot be written: {error.strerror}") from error


def write_output(path: Path, content: bytes) -> None:
    """Writes a file that people asked for, whole or not at all; what is there is replaced.

    Raises:
      RunError: if it cannot be written; what is there is as it was.
    """
    draft = path.with_name(f".{path.name}.tmp")
    try:
        files.remove(draft)
        with files.create(draft) as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.remove(draft)
        raise RunError(f"{path} could not be written: {error.strerror}") from error
