"""The curves of a comparison for TensorBoard: the mean over seeds with its margin, by variant.

A folder of event files is written whole, with no time of day in it, so that the same comparison has
the same files.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.scalar import metadata as scalars

from rnnjax.comparing.page import band
from rnnjax.comparing.results import Variant
from rnnjax.reporting.resumed_events import PREFIX, record
from rnnjax.system import files
from rnnjax.system.outputs import write_output

TITLE = "validation accuracy, mean and one standard deviation to each side"
MEAN, LOW, HIGH = (f"validation_accuracy/{name}" for name in ("mean", "low", "high"))
FILE = f"{PREFIX}0.curves"


def write(folder: Path, variants: Sequence[Variant]) -> None:
    """Writes a folder with an event file for each variant that has curves; an earlier one goes.

    Args:
      folder: a variant's folder in it is called as the variant, in letters that every file system
        takes.
      variants: with the curves of their seeds.

    Raises:
      OSError: if it cannot be written.
    """
    files.remove(folder)
    folder.mkdir()
    for number, variant in enumerate(variants):
        if variant.curves:
            name = re.sub(r"[^\w.,=+-]+", "_", variant.name, flags=re.ASCII)[:80]
            own = folder / f"{number:02d}_{name}"
            own.mkdir()
            write_output(
                own / FILE,
                b"".join(record(event.SerializeToString()) for event in _events(variant)),
            )


def _events(variant: Variant) -> Iterator[Any]:
    """Yields the version of the format, the layout, then the points of the three curves."""
    yield tf.compat.v1.Event(file_version="brain.Event:2")
    tag, layout = custom_scalars.CONFIG_SUMMARY_TAG, _layout().SerializeToString()
    yield _event(0, tag, tf.constant(layout), custom_scalars.create_summary_metadata())
    curve = band(variant.curves)
    metadata = scalars.create_summary_metadata(None, "")
    for step, mean, sd in zip(*curve, strict=True):
        for name, value in ((MEAN, mean), (LOW, mean - sd), (HIGH, mean + sd)):
            yield _event(step, name, tf.constant(value, tf.float32), metadata)


def _layout() -> Any:
    protos: Any = layout_pb2  # whose classes are made when it is imported
    series = protos.MarginChartContent.Series(value=MEAN, lower=LOW, upper=HIGH)
    chart = protos.Chart(title=TITLE, margin=protos.MarginChartContent(series=[series]))
    return protos.Layout(category=[protos.Category(title="rnnjax.compare", chart=[chart])])


def _event(step: int, tag: str, tensor: tf.Tensor, metadata: Any) -> Any:
    own = tf.compat.v1.SummaryMetadata.FromString(metadata.SerializeToString())
    value = tf.compat.v1.Summary.Value(
        tag=tag, tensor=tf.make_tensor_proto(tensor.numpy()), metadata=own
    )
    return tf.compat.v1.Event(step=int(step), summary=tf.compat.v1.Summary(value=[value]))
