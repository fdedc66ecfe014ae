"""Files that are written whole or not at all, whenever the process is killed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Replaces a file by a JSON object, which is on the disk when this returns.

    Args:
      path: the file; its draft is beside it, with the suffix `.tmp`.
      value: of JSON types.

    Raises:
      OSError: if it cannot be written; the old file is as it was.
    """
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # a link there would lead the text elsewhere
    draft.write_text(json.dumps(value, indent=2) + "\n")
    synchronise(draft)
    os.replace(draft, path)


def synchronise(path: Path) -> None:
    """Waits until a file, or the list of what is in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
