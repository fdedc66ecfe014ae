"""TensorBoard's files of a resumed run, damaged or not."""

import os
import stat
from pathlib import Path

import pytest
import tensorflow as tf

from rnnjax.compat import masked_crc32c
from rnnjax.reporting.resumed_events import MERGED, PREFIX, merge_events
from rnnjax.system.files import UntrustedFileError


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


def flip(file: Path) -> bytes:
    """Flips a bit, and returns what the file holds then."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return bytes(content)


def aside(file: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Returns to which name a damaged file was moved, with a line."""
    (moved,) = file.parent.glob("damaged.*")
    assert f"{file} is damaged; moved to {moved.name}\n" in capsys.readouterr().err
    assert sorted(file.parent.iterdir()) == [moved, file.parent / MERGED]
    return moved


def test_a_damaged_record_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, range(8))
    file.chmod(0o600)
    content = flip(file)
    merge_events(tmp_path, range(20))
    actual = steps_in(tmp_path)
    assert len(actual) == 7
    assert actual == sorted(actual)
    moved = aside(file, capsys)
    assert moved.read_bytes() == content
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600


@pytest.mark.parametrize("killed", [True, False])
def test_a_merged_file_that_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], killed: bool
) -> None:
    """A kill may come when it has been moved, and the new one has not yet taken its name."""
    write(tmp_path, range(8))
    merge_events(tmp_path, range(20))
    content = flip(tmp_path / MERGED)
    moved_first = tmp_path / f"{MERGED}.damaged"
    if killed:
        (tmp_path / MERGED).rename(moved_first)
    write(tmp_path, range(8, 12))
    merge_events(tmp_path, range(20))
    assert steps_in(tmp_path)[-4:] == [8, 9, 10, 11]
    assert len(steps_in(tmp_path)) == 11
    assert aside(moved_first, capsys).read_bytes() == content


@pytest.mark.parametrize("size", [1_000, 2**20 - 100, 2**20 + 100, 3 * 2**20])
def test_a_hole_costs_no_event_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    file = write(tmp_path, range(8))
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes(size) + content[middle:])
    merge_events(tmp_path, range(20))
    assert len(steps_in(tmp_path)) == 7
    aside(file, capsys)


@pytest.mark.parametrize("length", [2**40, 2**62, 2**64 - 1])
def test_a_length_out_of_all_bounds_is_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    """TensorFlow's own reader would crash."""
    file = write(tmp_path, range(3))
    header = length.to_bytes(8, "little")
    with file.open("ab") as end:
        end.write(header + masked_crc32c(header).to_bytes(4, "little") + b"x" * 100)
    merge_events(tmp_path, range(20))
    assert steps_in(tmp_path) == [0, 1, 2]
    aside(file, capsys)


def test_a_file_that_is_larger_than_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing has been written in its end, so that it takes no room on the disk."""
    file = write(tmp_path, range(3))
    os.truncate(file, 3 * 2**40)
    merge_events(tmp_path, range(20))
    assert steps_in(tmp_path) == [0, 1, 2]
    assert aside(file, capsys).stat().st_size == 3 * 2**40


@pytest.mark.parametrize("size", [1, 11, 12, 39])
def test_a_file_without_a_whole_record_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """No kill leaves one: the first record is written at once."""
    file = write(tmp_path, range(3))
    content = file.read_bytes()[:size]
    file.write_bytes(content)
    merge_events(tmp_path, range(20))
    assert aside(file, capsys).read_bytes() == content


def test_an_empty_file_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{PREFIX}1").touch()
    merge_events(tmp_path, range(20))
    assert [path.name for path in tmp_path.iterdir()] == [MERGED]
    assert capsys.readouterr().err == ""


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    """What it holds, which others may not read, would be copied."""
    folder, outside = tmp_path / "train", tmp_path / "outside"
    write(folder, range(3))
    outside.write_bytes(b"somebody's own")
    outside.chmod(0o600)
    (folder / f"{PREFIX}9").hardlink_to(outside)
    before = sorted(folder.iterdir())
    with pytest.raises(UntrustedFileError, match=f"{PREFIX}9 has another name too"):
        merge_events(folder, range(20))
    assert sorted(folder.iterdir()) == before
