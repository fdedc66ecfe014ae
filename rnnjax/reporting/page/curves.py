"""The curves of a run, from its event files, to which nothing is written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rnnjax.reporting.page.run_figures import Curve
from rnnjax.reporting.resumed_events import PREFIX, read_events
from rnnjax.system.messages import printable

SPLITS = ("train", "validation", "test")
TAGS = ("loss", "accuracy", "steps_per_second")


class Curves(NamedTuple):
    by_split: Mapping[str, Mapping[str, Curve]]  # then by tag; only what there is
    unreadable: Sequence[str]  # a line for whatever is damaged, missing or cannot be opened


def read_curves(workdir: Path) -> Curves:
    """Reads the scalars of a run, which may be under way.

    What a resumed run has written twice counts once, as it was written last. What cannot be read is
    told, and costs no more than itself.
    """
    by_split: dict[str, dict[str, Curve]] = {}
    unreadable: list[str] = []
    for split in SPLITS:
        values: dict[str, dict[int, float]] = {}
        problems = []
        for path in sorted((workdir / split).glob(f"{PREFIX}*")):
            try:
                if not _read_file(path, values):
                    problems.append(f"{split}/{path.name} is damaged; what is whole was read")
            except OSError as error:
                problems.append(f"{split}/{path.name} could not be read: {printable(str(error))}")
        if not values and not problems and split != "validation":  # which a run may do without
            problems.append(f"{split}/ has no curves")
        unreadable += problems
        by_split[split] = {
            tag: Curve(np.array(sorted(of_tag)), np.array([of_tag[n] for n in sorted(of_tag)]))
            for tag, of_tag in values.items()
        }
    return Curves(by_split, unreadable)


def _read_file(path: Path, values: dict[str, dict[int, float]]) -> bool:
    """Adds a file's scalars, {tag: {step: value}}; returns whether all of it could be read."""
    is_whole = True
    for event in read_events(path):
        if event is None:
            is_whole = False
            continue
        for value in event.summary.value:
            if value.tag in TAGS and value.HasField("tensor"):
                array = tf.make_ndarray(value.tensor)
                values.setdefault(value.tag, {})[event.step] = float(array.reshape(-1)[0])
    return is_whole
