"""Files in a folder that somebody else may write to as well: plain ones only, and written whole.

A link leads outside of the folder, a second name changes a file that is outside, a FIFO waits for
ever, and a device may do anything. So whatever rnnjax itself opens in a workdir is opened here;
Orbax reads what `rnnjax.runs.manifest` has checked, and TensorFlow's writers make new files. A
folder that somebody exchanges for a link just between a look at it and its use is not found out.
"""

import contextlib
import errno
import io
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnjax.errors import ConfigError
from rnnjax.validation import URL

KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
COPY = "give the run a copy of its own (cp -a makes one)"
MAX_BYTES = 2**24  # of a file that is read whole
MODES = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "r+b"}


class UntrustedFileError(OSError):
    """What is at a path is not what a run would have put there: a link, a FIFO, a device, ..."""


def local_path(name: str, value: str | Path) -> Path:
    """Returns a path that people typed, `~` expanded; of a link to a folder, where it leads.

    Raises:
      ConfigError: if it is a URL, no text, or below a name with a backslash, naming the argument.
    """
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{name}={value} has bytes that are no UTF-8, which libraries refuse; rename it"
        ) from error
    if URL.match(str(value)):
        raise ConfigError(
            f"{name}={value} is no folder of a disk; name one, which may be mounted, such as "
            "/tmp/run or ~/run"
        )
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name}={value}: {error}") from error
    # Those of os.path say no where those of Path would raise an error, as of a name too long.
    if os.path.islink(path) and os.path.isdir(path):
        path = path.resolve()
    if "\\" in os.path.abspath(path):
        raise ConfigError(f"{name}={value}: libraries take a backslash for a slash; rename it")
    return path


def open_file(path: Path, flags: int) -> io.BufferedIOBase:
    """Opens a file, but never through a link, and without waiting for anything.

    Args:
      path: the file.
      flags: of `os.open`, such as `os.O_RDWR | os.O_CREAT`.

    Raises:
      UntrustedFileError: if it is anything but a file; to be written, a file of one name.
      OSError: if it cannot be opened.
    """
    check_kind(path, stat.S_IFREG)  # first, since opening alone makes some devices do something
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # it has become a link or a FIFO since
            check_kind(path, stat.S_IFREG)
        raise
    mode = flags & os.O_ACCMODE
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or (mode != os.O_RDONLY and status.st_nlink != 1):
        os.close(descriptor)
        check_kind(path, stat.S_IFREG)
        raise UntrustedFileError(f"{path} has another name too, a hard link; {COPY}")
    file: Any = os.fdopen(descriptor, MODES[mode])
    return file


def check_kind(path: Path, kind: int) -> None:
    """Raises an UntrustedFileError if there is anything else than a file or a folder at a path.

    Args:
      path: where there may be nothing either.
      kind: `stat.S_IFREG` or `stat.S_IFDIR`.
    """
    try:
        actual = stat.S_IFMT(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if actual != kind:
        raise UntrustedFileError(f"{path} is {KINDS.get(actual, 'unknown')}, not {KINDS[kind]}")


def read_bytes(path: Path) -> bytes:
    """Returns what a small file holds.

    Raises:
      ValueError: if it holds more than `MAX_BYTES`.
      OSError: if `open_file` does.
    """
    with open_file(path, os.O_RDONLY) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} holds more than {MAX_BYTES} bytes")
    return content


def make_folder(path: Path) -> None:
    """Makes a folder unless there is one; a link to one is an UntrustedFileError."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    check_kind(path, stat.S_IFDIR)


def create(path: Path) -> io.BufferedIOBase:
    """Opens a new file for writing; raises a FileExistsError if there is anything of its name."""
    return open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Replaces a file by a JSON object, which is on the disk when this returns.

    Args:
      path: the file; its draft is beside it, with the suffix `.tmp`.
      value: of JSON types.

    Raises:
      OSError: if it cannot be written; the old file is as it was.
    """
    draft = path.with_suffix(".tmp")
    remove(draft)
    with create(draft) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")
    synchronise(draft)
    os.replace(draft, path)
    synchronise(path.parent)


def remove(path: Path) -> None:
    """Removes what is at a path: a file, a link, a folder with all in it, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move_aside(path: Path) -> str:
    """Renames what is damaged to a name with `.damaged` at its end, or `.damaged2`, ...

    Returns:
      The new name, in the same folder.
    """
    aside, count = path.with_name(f"{path.name}.damaged"), 1
    while os.path.lexists(aside):
        count += 1
        aside = path.with_name(f"{path.name}.damaged{count}")
    path.rename(aside)
    return aside.name


def synchronise(path: Path) -> None:
    """Waits until a file, or the list of what is in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
