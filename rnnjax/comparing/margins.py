"""The curves of a comparison in TensorBoard: of each variant the mean over seeds and its margin.

TensorBoard knows variants as runs, each with the scalars `mean`, `low` and `high`, and its plugin
Custom Scalars draws them into one chart. The same comparison gives the same files, to the bit.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from rnnjax.comparing.results import Variant, band
from rnnjax.reporting.page.run_figures import Band
from rnnjax.system import files

# TensorBoard reads files with `tfevents` in their names; usually the time and the host follow.
EVENTS = "events.out.tfevents.0.rnnjax"
CATEGORY, TITLE = "comparison", "validation accuracy: mean, and one standard deviation to each side"
MEAN, LOW, HIGH = (f"validation_accuracy/{name}" for name in ("mean", "low", "high"))
NAME_CHARS = 60  # at most, of a folder; in UTF-8, four times as many bytes
UNUSUAL = re.compile(r"[^\w.,=+ -]")


def write(folder: Path, variants: Sequence[Variant]) -> None:
    """Replaces a folder by one of event files, in which each variant with curves has a folder.

    Args:
      folder: what is there, a link too, is removed; its parent exists.
      variants: in the order of the legend.

    Raises:
      OSError: if something cannot be written.
    """
    bands = {v.name: band(v.curves) for v in variants if v.curves}
    draft = folder.with_name(f"{folder.name}.tmp")
    files.remove(draft)
    files.make_folder(draft)
    for n, (name, of_variant) in enumerate(bands.items()):
        run = draft / folder_name(name)
        files.make_folder(run)
        with files.create(run / EVENTS) as file:
            writer = RecordWriter(file)
            for event in _events(of_variant, has_layout=n == 0):
                writer.write(event.SerializeToString(deterministic=True))
    files.remove(folder)
    draft.rename(folder)


def folder_name(variant: str) -> str:
    """Returns the name of a variant as one of a folder, the same whatever other variants there are.

    >>> folder_name("cell=lstm, hidden_size=64")
    'cell=lstm, hidden_size=64'
    >>> folder_name("cell=/home/me/my_cells.py:LeakyCell")
    'cell=_home_me_my_cells.py_LeakyCell-57974b51'
    """
    name = UNUSUAL.sub("_", variant)[:NAME_CHARS].strip(" .")
    if name and name == variant:
        return name
    # Others may look the same by now.
    return f"{name}-{hashlib.sha256(variant.encode()).hexdigest()[:8]}"


def _events(of_variant: Band, *, has_layout: bool) -> Iterator[Any]:
    """Yields what is in the file of a variant; the layout of all is in one of them."""
    yield _event(file_version="brain.Event:2")
    if has_layout:
        yield _layout()
    for step, mean, sd in zip(*of_variant, strict=True):
        for tag, value in ((MEAN, mean), (LOW, mean - sd), (HIGH, mean + sd)):
            yield _event(step=int(step), summary=scalar_pb(tag, value))


def _event(**content: Any) -> Any:
    protos: Any = event_pb2  # whose classes are made when it is imported
    return protos.Event(wall_time=0, **content)  # whenever it is written, the bytes are the same


def _layout() -> Any:
    protos: Any = layout_pb2
    series = protos.MarginChartContent.Series(value=MEAN, lower=LOW, upper=HIGH)
    chart = protos.Chart(title=TITLE, margin=protos.MarginChartContent(series=[series]))
    layout = protos.Layout(category=[protos.Category(title=CATEGORY, chart=[chart])])
    event = _event(step=0)
    event.summary.value.add(
        tag=custom_scalars.CONFIG_SUMMARY_TAG,
        tensor=make_tensor_proto(layout.SerializeToString()),
        metadata=custom_scalars.create_summary_metadata(),
    )
    return event
