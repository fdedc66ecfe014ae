"""TensorBoard's files of a run that goes on from an earlier step: what comes again is dropped."""

import os
import stat
import struct
from collections.abc import Container, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from rnnjax.compat import masked_crc32c
from rnnjax.system import files
from rnnjax.system.messages import warn

PREFIX = "events.out.tfevents."
# The oldest by its name, whatever a clock said since: TensorBoard reads files in order of names.
MERGED = f"{PREFIX}0000000000.resumed"


def merge_events(folder: Path, steps: Container[int]) -> bool:
    """Merges a folder's event files into one, of these steps alone.

    What a resumed run writes again is then there once, and steps increase for every tag. The end of
    a file that a killed process left unfinished is dropped; a file that is damaged elsewhere gives
    what can be read, and remains under another name. If this function is killed itself, the old
    files remain, or both: then the next call drops what is there twice.

    Args:
      folder: where the files are; it need not exist.
      steps: the steps whose events remain.

    Returns:
      Whether there were any files.

    Raises:
      OSError: if the files cannot be read or written.
    """
    paths = sorted(folder.glob(f"{PREFIX}*"))
    for path in paths:
        files.check_kind(path, stat.S_IFREG)
    if not paths:
        return False
    draft = folder / "merged.tmp"
    files.remove(draft)
    seen, damaged = set(), []
    with files.create(draft) as merged:
        for path in paths:
            for event in _events(files.read_bytes(path)):
                if event is None:
                    damaged.append(path)
                    continue
                tags = {(value.tag, event.step) for value in event.summary.value}
                if event.HasField("file_version"):
                    tags = {("file_version", 0)}
                elif event.step not in steps:
                    continue
                if tags and seen.isdisjoint(tags):
                    seen |= tags
                    merged.write(_record(event.SerializeToString()))
    files.synchronise(draft)
    for path in dict.fromkeys(damaged):
        _copy_aside(path)
    os.replace(draft, folder / MERGED)
    for path in paths:
        if path.name != MERGED:
            path.unlink()
    return True


def _copy_aside(path: Path) -> None:
    """Copies a damaged file to a name that no other file has and TensorBoard does not read."""
    name, count = path.name.removeprefix(PREFIX), 1
    while os.path.lexists(copy := path.with_name(f"damaged.{count}.{name}")):
        count += 1
    with files.create(copy) as file:
        file.write(files.read_bytes(path))
    files.synchronise(copy)
    warn(f"{path} is damaged; copied to {copy.name}")


def _record(event: bytes) -> bytes:
    """Returns an event as it stands in a file: its length, a checksum, itself, a checksum."""
    length = struct.pack("<Q", len(event))
    checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, event)]
    return length + checksums[0] + event + checksums[1]


def _events(content: bytes) -> Iterator[tf.compat.v1.Event | None]:
    """Yields a file's events up to its end, whole or unfinished; None for what is damaged."""
    position = 0
    while position < len(content):
        end = _end_of_record(content, position)
        if end is None:
            beyond = (n for n in range(position + 1, len(content)) if _end_of_record(content, n))
            next_record = next(beyond, None)
            if next_record is None and _is_begun(content, position):
                return
            yield None
            position = len(content) if next_record is None else next_record
            continue
        event = content[position + 12 : end - 4]
        intact = content[end - 4 : end] == struct.pack("<I", masked_crc32c(event))
        try:
            yield tf.compat.v1.Event.FromString(event) if intact else None
        except DecodeError:
            yield None
        position = end


def _end_of_record(content: bytes, position: int) -> int | None:
    """Returns where a record ends; None if none that is whole begins at a position."""
    end = position + 12 + int.from_bytes(content[position : position + 8], "little") + 4
    return end if end <= len(content) and _is_begun(content, position) else None


def _is_begun(content: bytes, position: int) -> bool:
    """Whether a record begins at a position, as far as the file goes."""
    length, checksum = content[position : position + 8], content[position + 8 : position + 12]
    return len(checksum) < 4 or checksum == struct.pack("<I", masked_crc32c(length))
