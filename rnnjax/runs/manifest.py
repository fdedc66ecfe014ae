"""A checkpoint's list of the sha256 of all its files, which `sha256sum -c` reads too."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from rnnjax.system import files

NAME = "manifest.sha256"


def seal(folder: Path) -> None:
    """Writes the list, and waits until it and all files are on the disk."""
    names, _ = _walk(folder)
    for name in names:
        files.synchronise(folder / name)
    for parent, _, _ in os.walk(folder):
        files.synchronise(Path(parent))
    body = "".join(f"{_digest(folder / name)}  {name}\n" for name in names)
    # The last line is of the lines above, so that the list cannot be damaged unnoticed either.
    with files.create(folder / NAME) as file:
        file.write(f"{body}{_digest_of(body)}  -\n".encode())
    files.synchronise(folder / NAME)
    files.synchronise(folder)


def damage(folder: Path) -> str | None:
    """Returns what is wrong with a sealed folder: a file more, less or other; None if nothing.

    Raises:
      OSError: if a file that is there cannot be read, which says nothing of what it holds.
    """
    if folder.is_symlink() or not folder.is_dir():
        return "it is not a folder"
    names, others = _walk(folder)
    if others:
        return f"{others[0]} is neither a file nor a folder"
    if NAME not in names:
        return f"{NAME} is missing"
    listed = _listed(folder)
    if listed is None:
        return f"{NAME} is damaged"
    for name in sorted(listed.keys() ^ (set(names) - {NAME})):
        return f"{name} is missing" if name in listed else f"{name} does not belong there"
    for name, digest in listed.items():
        if _digest(folder / name) != digest:
            return f"{name} is damaged"
    return None


def read_sealed(folder: Path, name: str) -> bytes:
    """Returns what one file of a sealed folder holds.

    Raises:
      ValueError: if it, or the list, is not as it was sealed.
      OSError: if it, or the list, cannot be read.
    """
    listed = _listed(folder)
    if listed is None:
        raise ValueError(f"{NAME} is damaged")
    content = files.read_bytes(folder / name)
    if hashlib.sha256(content).hexdigest() != listed.get(name):
        raise ValueError(f"{name} is damaged")
    return content


def _listed(folder: Path) -> dict[str, str] | None:
    """Returns {name: digest} of a folder's list; None if the list is not as it was written."""
    try:
        body, _, last = files.read_bytes(folder / NAME).decode().removesuffix("\n").rpartition("\n")
    except ValueError:  # it is no text, or too long
        return None
    if last != f"{_digest_of(body + chr(10))}  -":
        return None
    lines = (line.partition("  ") for line in body.split("\n"))
    return {name: digest for digest, _, name in lines}


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the names of all files below a folder, and those of what is no folder either."""
    plain, others = [], []

    def fail(error: OSError) -> NoReturn:
        raise error  # `os.walk` would leave out what cannot be read

    for parent, folders, names in os.walk(folder, onerror=fail):
        for name in (*folders, *names):
            path = Path(parent, name)
            kind = stat.S_IFMT(path.lstat().st_mode)
            if kind == stat.S_IFREG:
                plain.append(str(path.relative_to(folder)))
            elif kind != stat.S_IFDIR:
                others.append(str(path.relative_to(folder)))
    return sorted(plain), sorted(others)


def _digest(path: Path) -> str:
    with files.open_file(path, os.O_RDONLY) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
