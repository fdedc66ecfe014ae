"""TensorBoard's files of a run that goes on from an earlier step."""

import os
import shutil
import struct
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from rnnjax.runs.manifest import synchronise

PREFIX = "events.out.tfevents."
# The oldest by its name, whatever a clock said since: TensorBoard reads files in order of names.
MERGED = f"{PREFIX}0000000000.resumed"


def keep_events(folder: Path, steps: Container[int]) -> None:
    """Merges a folder's event files into one, of these steps alone.

    So that what a resumed run writes again stands there once, and steps increase for every tag. The
    end of a file that a killed process left unfinished is dropped; a file that is damaged elsewhere
    gives what can be read, and is kept under another name. Killed itself, it leaves the old files,
    or both: then the next call drops what stands there twice.
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
        kept = file.with_name(f"damaged.{file.name.removeprefix(PREFIX)}")
        shutil.copyfile(file, kept)
        print(f"rnnjax: {file} is damaged; kept as {kept.name}", file=sys.stderr, flush=True)
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
