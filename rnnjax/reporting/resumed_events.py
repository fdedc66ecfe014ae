"""TensorBoard's files of a run that goes on from an earlier step: what comes again is dropped."""

import os
import struct
from collections.abc import Container, Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from rnnjax.compat import masked_crc32c
from rnnjax.system import files
from rnnjax.system.messages import warn

PREFIX = "events.out.tfevents."
# The oldest by its name, whatever a clock said since: TensorBoard reads files in order of names.
MERGED = f"{PREFIX}0000000000.resumed"
HEADER_BYTES = 12  # of a record: a length and its checksum
MOST_BYTES = 2**20  # of an event, where a run's own have some 2**14
SEARCHED_BYTES = 2**26  # after damage, for the next event


def merge_events(folder: Path, steps: Container[int], dropped_tags: tuple[str, ...] = ()) -> bool:
    """Merges a folder's event files into one, of these steps alone.

    What a resumed run writes again is then there once, and steps increase for every tag. The end of
    a file that a killed process left unfinished is dropped; a file that is damaged elsewhere gives
    what can be read, and remains under another name. If this function is killed itself, the old
    files remain, or both: then the next call drops what is there twice.

    Args:
      folder: where the files are; it need not exist.
      steps: the steps whose events remain.
      dropped_tags: how the tags begin that do not remain in any case.

    Returns:
      Whether there were any files.

    Raises:
      UntrustedFileError: if one of them is anything but a file of one name.
      OSError: if the files cannot be read or written.
    """
    paths = sorted(folder.glob(f"{PREFIX}*"))
    for path in paths:
        _open(path).close()  # all of them first: where one is refused, nothing is written
    if not paths:
        return False
    draft = folder / "merged.tmp"
    files.remove(draft)
    seen, damaged = set(), set()
    with files.create(draft) as merged:
        for path in paths:
            for event in read_events(path):
                if event is None:
                    damaged.add(path)
                    continue
                tags = {(value.tag, event.step) for value in event.summary.value}
                if event.HasField("file_version"):
                    tags = {("file_version", 0)}
                elif event.step not in steps or any(
                    value.tag.startswith(dropped_tags) for value in event.summary.value
                ):
                    continue
                if tags and seen.isdisjoint(tags):
                    seen |= tags
                    merged.write(_record(event.SerializeToString()))
    files.synchronise(draft)
    if folder / MERGED in damaged:  # under the new name the next call reads it, after a kill here
        paths.append(folder / files.move_aside(folder / MERGED))
        damaged.add(paths[-1])
    os.replace(draft, folder / MERGED)
    for path in paths:
        if path.name == MERGED:
            continue
        if path in damaged:
            _move_aside(path)
        else:
            path.unlink()
    return True


def _move_aside(path: Path) -> None:
    """Gives a damaged file a name that no other file has and TensorBoard does not read."""
    name, count = path.name.removeprefix(PREFIX), 1
    while os.path.lexists(aside := path.with_name(f"damaged.{count}.{name}")):
        count += 1
    path.rename(aside)
    warn(f"{path} is damaged; moved to {aside.name}")


def _record(event: bytes) -> bytes:
    """Returns an event as it stands in a file: its length, a checksum, itself, a checksum."""
    length = struct.pack("<Q", len(event))
    checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, event)]
    return length + checksums[0] + event + checksums[1]


def _open(path: Path) -> BufferedIOBase:
    file = files.open_file(path, os.O_RDONLY)
    if os.fstat(file.fileno()).st_nlink != 1:  # who may read this folder may not read the other
        file.close()
        raise files.UntrustedFileError(f"{path} has another name too, a hard link; {files.COPY}")
    return file


def read_events(path: Path) -> Iterator[tf.compat.v1.Event | None]:
    """Yields a file's events up to its end, whole or unfinished; None for what is damaged.

    No more than an event of it is in memory: a sparse file may be larger than all disks.
    """
    with _open(path) as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            file.seek(position)
            header = file.read(HEADER_BYTES)
            length = _length(header)
            if length is not None and position + _size(length) <= size:
                yield _parse(file.read(length), file.read(4))
                position += _size(length)
                continue
            is_begun = length is not None or len(header) < HEADER_BYTES
            next_record = _find_record(file, position + 1, size)
            if next_record is None and is_begun and position > 0:  # what a kill may leave
                return
            yield None
            position = next_record or size


def _find_record(file: BufferedIOBase, start: int, size: int) -> int | None:
    """Returns where the next whole record begins, if that is within `SEARCHED_BYTES`."""
    for first in range(start, min(size, start + SEARCHED_BYTES), MOST_BYTES):
        file.seek(first)
        content = np.frombuffer(file.read(MOST_BYTES + HEADER_BYTES), np.uint8)
        count = max(len(content) - HEADER_BYTES + 1, 0)
        # The last 5 bytes of a length are zero, and not all 4 of its checksum.
        is_zero = content == 0
        maybe, no_checksum = np.ones(count, bool), np.ones(count, bool)
        for offset in range(3, 8):
            maybe &= is_zero[offset:][:count]
        for offset in range(8, 12):
            no_checksum &= is_zero[offset:][:count]
        maybe &= ~no_checksum
        for place in map(int, np.nonzero(maybe)[0]):
            length = _length(content[place : place + HEADER_BYTES].tobytes())
            if length is not None and first + place + _size(length) <= size:
                return first + place
    return None


def _length(header: bytes) -> int | None:
    """Returns the length of an event; None if this is not what is before one."""
    length, checksum = header[:8], header[8:]
    number = int.from_bytes(length, "little")
    is_one = number <= MOST_BYTES and checksum == struct.pack("<I", masked_crc32c(length))
    return number if is_one else None


def _size(length: int) -> int:
    """Returns the bytes of a record with an event of some length: a checksum follows it."""
    return HEADER_BYTES + length + 4


def _parse(event: bytes, checksum: bytes) -> tf.compat.v1.Event | None:
    """Returns an event; None if it is damaged."""
    if checksum != struct.pack("<I", masked_crc32c(event)):
        return None
    try:
        return tf.compat.v1.Event.FromString(event)
    except DecodeError:
        return None
