"""The folder of a page and its pictures, which comes about whole or not at all."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rnnjax.errors import ConfigError
from rnnjax.system import files

PAGE = "index.html"
MARK = '<meta name="generator" content="rnnjax.report">'
MARK_WITHIN = 1_000  # bytes from the start of a page
PICTURES = re.compile(r'href="([a-z0-9-]+\.png)"')  # which a page lists


def check_folder(folder: Path) -> None:
    """Raises a ConfigError unless a page can be made there: in a new or empty folder, or again."""
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            raise ConfigError(f"--out={folder} is no folder; name a new one")
        if folder.is_dir() and any(folder.iterdir()) and _earlier_page(folder) is None:
            raise ConfigError(
                f"--out={folder} holds other files and no earlier report; name a new folder"
            )
        for place in {folder.absolute().parent, folder if folder.is_dir() else folder.parent}:
            with tempfile.TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise ConfigError(f"--out={folder} cannot be written: {error.strerror}") from error


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes the files of a page; those of an earlier page go, any others remain.

    Args:
      folder: that `check_folder` has allowed.
      contents: by name; `PAGE` is one of them.

    Raises:
      ConfigError: if that fails; then what was there is as it was.
    """
    draft = folder.absolute().with_name(f".{folder.absolute().name}.tmp")
    try:
        files.remove(draft)
        draft.mkdir()
        for name, content in contents.items():
            (draft / name).write_bytes(content)
        if not folder.is_dir():
            draft.rename(folder)
            return
        earlier = PICTURES.findall(_earlier_page(folder) or "")
        for name in sorted(contents, key=PAGE.__eq__):  # the page last, since it tells of the rest
            (draft / name).replace(folder / name)
        for name in {*earlier} - {*contents}:
            (folder / name).unlink(missing_ok=True)
        draft.rmdir()
    except OSError as error:
        files.remove(draft)
        raise ConfigError(f"--out={folder} cannot be written: {error.strerror}") from error


def _earlier_page(folder: Path) -> str | None:
    """Returns the page that is there; None if there is none, or not one of these."""
    page = folder / PAGE
    if not page.is_file():
        return None
    text = page.read_text(errors="replace")
    return text if MARK in text[:MARK_WITHIN] else None
