"""TensorBoard's files of a run that goes on from an earlier step."""

import os
from collections.abc import Container, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

PATTERN = "events.out.tfevents.*"
# The oldest by its name, whatever a clock said since: TensorBoard reads files in order of names.
MERGED = "events.out.tfevents.0000000000.resumed"


def keep_events(folder: Path, steps: Container[int]) -> None:
    """Merges a folder's event files into one, of these steps alone.

    So that what a resumed run writes again stands there once, and steps increase for every tag. The
    end of a file that a killed process left unfinished is dropped. Killed itself, it leaves the
    old files, or both: then the next call drops what stands there twice.
    """
    files = sorted(folder.glob(PATTERN))
    if not files:
        return
    draft = folder / "merged.tmp"
    draft.unlink(missing_ok=True)  # a link there would lead the events elsewhere
    seen = set()
    with tf.io.TFRecordWriter(str(draft)) as writer:
        for file in files:
            for event in _events(file):
                tags = {(value.tag, event.step) for value in event.summary.value}
                if event.HasField("file_version"):
                    tags = {("file_version", 0)}
                elif event.step not in steps:
                    continue
                if tags and seen.isdisjoint(tags):
                    seen |= tags
                    writer.write(event.SerializeToString())
    os.replace(draft, folder / MERGED)
    for file in files:
        if file.name != MERGED:
            file.unlink()


def _events(file: Path) -> Iterator[tf.compat.v1.Event]:
    """Yields a file's events up to its end, or to where it is damaged."""
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield tf.compat.v1.Event.FromString(record)
    except (tf.errors.OpError, DecodeError):
        return
