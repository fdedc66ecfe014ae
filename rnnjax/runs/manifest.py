"""A checkpoint's list of the sha256 of all its files, which `sha256sum -c` reads too."""

import hashlib
import os
from pathlib import Path

from rnnjax.system.files import synchronise

NAME = "manifest.sha256"


def seal(folder: Path) -> None:
    """Writes the list, and waits until it and all files are on the disk."""
    names, _ = _walk(folder)
    for name in names:
        synchronise(folder / name)
    for parent, _, _ in os.walk(folder):
        synchronise(Path(parent))
    body = "".join(f"{_digest(folder / name)}  {name}\n" for name in names)
    # The last line is of the lines above, so that the list cannot be damaged unnoticed either.
    (folder / NAME).write_text(f"{body}{_digest_of(body)}  -\n")
    synchronise(folder / NAME)
    synchronise(folder)


def damage(folder: Path) -> str | None:
    """Returns what is wrong with a sealed folder: a file more, less or other; None if nothing.

    Raises:
      OSError: if a file that is there cannot be read, which says nothing of what it holds.
    """
    if folder.is_symlink() or not folder.is_dir():
        return "it is not a folder"
    names, links = _walk(folder)
    if links:
        return f"{links[0]} is a link"
    if not (folder / NAME).is_file():
        return f"{NAME} is missing"
    try:
        body, _, last = (folder / NAME).read_text().removesuffix("\n").rpartition("\n")
    except UnicodeDecodeError:
        return f"{NAME} is damaged"
    if last != f"{_digest_of(body + chr(10))}  -":
        return f"{NAME} is damaged"
    listed = {
        name: digest for digest, _, name in (line.partition("  ") for line in body.split("\n"))
    }
    for name in sorted(listed.keys() ^ (set(names) - {NAME})):
        return f"{name} is missing" if name in listed else f"{name} does not belong there"
    for name, digest in listed.items():
        if _digest(folder / name) != digest:
            return f"{name} is damaged"
    return None


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the names of all files below a folder, and those of all links."""
    files, links = [], []
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                links.append(str(path.relative_to(folder)))
            elif path.is_file():
                files.append(str(path.relative_to(folder)))
    return sorted(files), sorted(links)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
