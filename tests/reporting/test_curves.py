"""The curves of event files, damaged or not, against TensorBoard's own reader."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnjax.reporting.page.curves import read_curves


def write(folder: Path, steps: range, offset: float = 0) -> Path:
    """Writes a file of two curves and something else; returns it."""
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("loss", step + offset, step)
            tf.summary.scalar("accuracy", 1 / (1 + step), step)
            tf.summary.scalar("learning_rate", 0.1, step)
            tf.summary.histogram("weights", [0.0, 1.0], step)
    writer.close()
    return max(folder.glob("events*"), key=lambda path: path.stat().st_mtime_ns)


def test_curves_are_those_that_tensorboard_shows(tmp_path: Path) -> None:
    write(tmp_path / "train", range(1, 9))
    write(tmp_path / "test", range(2, 9, 2))
    by_split, unreadable = read_curves(tmp_path)
    assert not unreadable
    for split in ("train", "test"):
        curves = by_split[split]
        assert set(curves) == {"loss", "accuracy"}
        reference = EventAccumulator(str(tmp_path / split), {"tensors": 0})
        reference.Reload()
        for tag, curve in curves.items():
            events = reference.Tensors(tag)
            assert [*curve.steps] == [event.step for event in events]
            values = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
            np.testing.assert_array_equal(curve.values, values)


def test_what_was_written_twice_counts_as_it_was_written_last(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for number, steps, offset in ((1, range(6), 0), (2, range(4, 9), 100)):
        write(tmp_path / "draft", steps, offset).rename(
            tmp_path / "train" / f"events.out.tfevents.{number}"
        )
    loss = read_curves(tmp_path).by_split["train"]["loss"]
    assert [*loss.steps] == [*range(9)]
    assert [*loss.values] == [0, 1, 2, 3, 104, 105, 106, 107, 108]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "train", range(20))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    write(tmp_path / "test", range(2)).rename(tmp_path / "elsewhere")
    (tmp_path / "test" / "events.out.tfevents.1").symlink_to(tmp_path / "elsewhere")
    by_split, (first, second, *others) = read_curves(tmp_path)
    assert not others
    assert first == f"train/{file.name} is damaged; what is whole was read"
    assert second.startswith("test/events.out.tfevents.1 could not be read")
    steps = by_split["train"]["loss"].steps
    assert len(steps) in (19, 20)  # the damage may be in another of the events
    assert not by_split["test"]


def test_a_run_without_event_files(tmp_path: Path) -> None:
    by_split, unreadable = read_curves(tmp_path)
    assert not any(by_split.values())
    assert [*unreadable] == ["train/ has no curves", "test/ has no curves"]
