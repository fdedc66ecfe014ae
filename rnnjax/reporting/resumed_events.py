"""TensorBoard's files of a run that goes on from an earlier step: what comes again is dropped."""

import os
import shutil
import struct
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from rnnjax.compat import masked_crc32c
from rnnjax.reporting.summaries import writer_error_as_os_error
from rnnjax.system.files import synchronise

PREFIX = "events.out.tfevents."
# The oldest by its name, whatever a clock said since: TensorBoard reads files in order of names.
MERGED = f"{PREFIX}0000000000.resumed"


@writer_error_as_os_error()
def merge_events(folder: Path, steps: Container[int]) -> None:
    """Merges a folder's event files into one, of these steps alone.

    What a resumed run writes again is then there once, and steps increase for every tag. The end of
    a file that a killed process left unfinished is dropped; a file that is damaged elsewhere gives
    what can be read, and a copy of it remains under another name. If this function is killed
    itself, the old files remain, or both: then the next call drops what is there twice.

    Args:
      folder: where the files are; it need not exist.
      steps: the steps whose events remain.

    Raises:
      OSError: if the files cannot be read or written.
    """
    files = sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_file())
    if not files:
        return
    draft = folder / "merged.tmp"
    draft.unlink(missing_ok=True)  # a link there would lead the events elsewhere
    seen, damaged = set(), []
    with tf.io.TFRecordWriter(str(draft)) as writer:
        for file in files:
            for event in _events(file):
                if event is None:
                    damaged.append(file)
                    continue
                tags = {(value.tag, event.step) for value in event.summary.value}
                if event.HasField("file_version"):
                    tags = {("file_version", 0)}
                elif event.step not in steps:
                    continue
                if tags and seen.isdisjoint(tags):
                    seen |= tags
                    writer.write(event.SerializeToString())
    synchronise(draft)
    for file in dict.fromkeys(damaged):
        copy = file.with_name(f"damaged.{file.name.removeprefix(PREFIX)}")
        shutil.copyfile(file, copy)
        print(f"rnnjax: {file} is damaged; copied to {copy.name}", file=sys.stderr, flush=True)
    os.replace(draft, folder / MERGED)
    for file in files:
        if file.name != MERGED:
            file.unlink()


def _events(file: Path) -> Iterator[tf.compat.v1.Event | None]:
    """Yields a file's events up to its end, whole or unfinished; None for what is damaged."""
    content = memoryview(file.read_bytes())
    position = 0
    while len(content) - position >= 12:  # length, its checksum; the event, its checksum
        length, checksum = struct.unpack_from("<QI", content, position)
        if masked_crc32c(bytes(content[position:][:8])) != checksum:
            yield None  # and where the next one starts cannot be told
            return
        event = bytes(content[position + 12 :][:length])
        position += 12 + length + 4
        if position > len(content):
            return
        try:
            (checksum,) = struct.unpack_from("<I", content, position - 4)
            yield tf.compat.v1.Event.FromString(event) if masked_crc32c(event) == checksum else None
        except DecodeError:
            yield None
