"""The records that TFDS has prepared, as arrays."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.errors import DataError

THREADS = 2  # that decode images
MOST_BYTES = 2**26  # of a record, of which an image of 28x28 has less than 2**10

Arrays = tuple[np.ndarray, np.ndarray]  # uint8 [N, Y, X] or [N, Y, X, C], int32 [N]


class DamagedError(DataError):
    """Prepared data is not as it was written."""


def read(builder: Any, split: str, image_key: str = "image", label_key: str = "label") -> Arrays:
    """Decodes a whole split, in the order of its records.

    Grey images have no axis of channels.

    Records are parsed a thousand at a time: TFDS's own reader parses one at a time and takes thrice
    as long, which is most of what a run waits for at its start.

    Raises:
      DamagedError: if they are not those that were written.
    """
    import tensorflow as tf

    info = builder.info.splits[split]
    features = {
        image_key: tf.io.FixedLenFeature((), tf.string),
        label_key: tf.io.FixedLenFeature((), tf.int64),
    }
    shape = builder.info.features[image_key].shape
    image = tf.TensorSpec(shape, tf.uint8)

    def parse(records: Any) -> tuple[Any, Any]:
        examples = tf.io.parse_example(records, features)
        decode = functools.partial(tf.io.decode_image, channels=shape[-1], expand_animations=False)
        decoded = tf.map_fn(decode, examples[image_key], fn_output_signature=image)
        return decoded, examples[label_key]

    options = tf.data.Options()
    options.threading.private_threadpool_size = THREADS
    batches = tf.data.TFRecordDataset(info.filepaths).batch(1000).with_options(options)
    batches = batches.map(parse, num_parallel_calls=THREADS)
    names = ", ".join(map(str, info.filepaths))
    for path in info.filepaths:
        _check_lengths(Path(path), info.num_examples)
    try:
        decoded = list(batches.as_numpy_iterator())
    except tf.errors.OpError as error:
        raise DamagedError(f"{names}: {error.message.split('[[')[0].strip()}") from error
    count = sum(len(labels) for _, labels in decoded)
    if count != info.num_examples:
        raise DamagedError(f"{names}: {count} images instead of {info.num_examples}")
    images, labels = map(np.concatenate, zip(*decoded, strict=True))
    num_classes = builder.info.features[label_key].num_classes
    if not ((labels >= 0) & (labels < num_classes)).all():
        raise DamagedError(f"{names}: labels that are not in [0, {num_classes})")
    return images[..., 0] if shape[-1] == 1 else images, labels.astype(np.int32)


def _check_lengths(path: Path, most: int) -> None:
    """Walks over the lengths of a file's records: TensorFlow crashes at one out of all bounds.

    Args:
      path: the file.
      most: records that it may have.

    Raises:
      DamagedError: if they are not what makes up the file.
    """
    position = 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for _ in range(most + 1):
                file.seek(position)
                length = int.from_bytes(file.read(8), "little")
                if position >= size or length > MOST_BYTES:
                    break
                position += 8 + 4 + length + 4  # its length, a checksum, itself, a checksum
            else:
                raise DamagedError(f"{path}: more than {most} records")
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}") from error
    if position != size:
        raise DamagedError(f"{path}: its {size} bytes are not made up of records")
