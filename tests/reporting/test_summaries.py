"""What writes summaries: in one thread, whose errors are raised."""

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnnjax.reporting import summaries
from rnnjax.reporting.summaries import open_pool, open_writers

SPLITS = ("train", "test")


def test_one_thread_writes_for_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two crashed TensorFlow."""
    threads: list[int] = []
    write = tf.summary.write

    def record(*args: object, **options: object) -> None:
        threads.append(threading.get_ident())
        write(*args, **options)

    monkeypatch.setattr(tf.summary, "write", record)
    array = np.arange(8.0)
    with open_writers(tmp_path, SPLITS, open_pool()) as writers:
        for writer in writers.values():
            summaries.write_histograms(writer, 1, dict.fromkeys("abc", array))
    assert len(threads) == 6
    assert len({*threads}) == 1
    assert threading.get_ident() not in threads


def written(folder: Path) -> dict[str, Any]:
    """Returns the summaries in a folder, by tag."""
    (file,) = folder.glob("events.*")
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    events = map(tf.compat.v1.Event.FromString, records)
    return {value.tag: value for event in events for value in event.summary.value}


def test_histograms_and_images_are_those_of_tensorflow(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {"some": random.normal(size=(7, 50)), "one": np.full(9, 2.5), "none": np.zeros(0)}
    image = random.integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)
    with open_writers(tmp_path, SPLITS, open_pool()) as writers:
        summaries.write_histograms(writers["train"], 1, arrays)
        summaries.write_pictures(writers["train"], 1, {"image": image[0]})
    with tf.summary.create_file_writer(str(tmp_path / "tf")).as_default():
        for tag, array in arrays.items():
            tf.summary.histogram(tag, array, step=1)
        tf.summary.image("image", image, step=1)
    actual, expected = written(tmp_path / "train"), written(tmp_path / "tf")
    assert actual.keys() == expected.keys()
    for tag in arrays:
        assert actual[tag].metadata.plugin_data == expected[tag].metadata.plugin_data
        buckets = tf.make_ndarray(expected[tag].tensor)
        np.testing.assert_allclose(tf.make_ndarray(actual[tag].tensor), buckets, rtol=1e-12)
    assert actual["image"].metadata.plugin_data == expected["image"].metadata.plugin_data
    sizes = [tf.make_ndarray(value["image"].tensor)[:2].tolist() for value in (actual, expected)]
    assert sizes[0] == sizes[1]
    content = tf.make_ndarray(actual["image"].tensor)[2]
    np.testing.assert_array_equal(tf.io.decode_png(content), image[0])


@pytest.fixture
def full_disk() -> Iterator[Callable[[], None]]:
    """From a call on, no file may grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("flushes", [True, False])
def test_what_cannot_be_written_is_an_error(
    tmp_path: Path, full_disk: Callable[[], None], split: str, flushes: bool
) -> None:
    """Raised by a flush, or else in the end."""
    at_the_end = False
    refused = pytest.raises(OSError, match=f"{split}.*File too large")
    with refused, open_writers(tmp_path, SPLITS, open_pool()) as writers:
        full_disk()
        summaries.write_scalars(writers[split], 1, {"loss": 1.0})
        if flushes:
            summaries.flush(writers)
        at_the_end = True
    assert at_the_end != flushes
