"""TensorBoard's files of a resumed run, damaged or not."""

from pathlib import Path

import pytest
import tensorflow as tf

from rnnjax.compat import masked_crc32c
from rnnjax.reporting.resumed_events import MERGED, merge_events


def write(folder: Path, steps: range) -> Path:
    """Writes a file with one summary of about 50 bytes a step, and returns it."""
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("loss", float(step), step)
    writer.close()
    return max(folder.glob("events*"), key=lambda path: path.stat().st_mtime_ns)


def steps_in(folder: Path) -> list[int]:
    actual = []
    for file in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            actual += [event.step for value in event.summary.value if value.tag == "loss"]
    return actual


def test_files_become_one_without_what_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, range(8))
    write(tmp_path, range(4, 12))
    merge_events(tmp_path, range(10))
    assert [path.name for path in tmp_path.iterdir()] == [MERGED]
    assert steps_in(tmp_path) == list(range(10))


def test_an_unfinished_end_is_dropped(tmp_path: Path) -> None:
    file = write(tmp_path, range(8))
    file.write_bytes(file.read_bytes()[:-5])
    merge_events(tmp_path, range(20))
    assert steps_in(tmp_path) == list(range(7))
    assert [path.name for path in tmp_path.iterdir()] == [MERGED]


def test_a_damaged_record_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, range(8))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    merge_events(tmp_path, range(20))
    actual = steps_in(tmp_path)
    assert len(actual) == 7
    assert actual == sorted(actual)
    (copy,) = tmp_path.glob("damaged.*")
    assert copy.read_bytes() == content
    assert f"{file} is damaged; copied to {copy.name}" in capsys.readouterr().err


def test_a_length_out_of_all_bounds_ends_the_file(tmp_path: Path) -> None:
    """TensorFlow's own reader would ask for that much memory."""
    file = write(tmp_path, range(3))
    length = (2**40).to_bytes(8, "little")
    with file.open("ab") as end:
        end.write(length + masked_crc32c(length).to_bytes(4, "little") + b"x" * 100)
    merge_events(tmp_path, range(20))
    assert steps_in(tmp_path) == [0, 1, 2]
