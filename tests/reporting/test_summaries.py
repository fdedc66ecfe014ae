"""What writes summaries: in one thread, whose errors are raised."""

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rnnjax.reporting import summaries
from rnnjax.reporting.summaries import open_writers

SPLITS = ("train", "test")


def test_one_thread_writes_for_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two crashed TensorFlow."""
    threads: list[int] = []
    histogram = tf.summary.histogram

    def record(*args: object, **options: object) -> None:
        threads.append(threading.get_ident())
        histogram(*args, **options)

    monkeypatch.setattr(tf.summary, "histogram", record)
    array = np.arange(8.0)
    with open_writers(tmp_path, SPLITS) as writers:
        for writer in writers.values():
            summaries.write_histograms(writer, 1, dict.fromkeys("abc", array))
    assert len(threads) == 6
    assert len({*threads}) == 1
    assert threading.get_ident() not in threads


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
    with refused, open_writers(tmp_path, SPLITS) as writers:
        full_disk()
        summaries.write_scalars(writers[split], 1, {"loss": 1.0})
        if flushes:
            summaries.flush(writers)
        at_the_end = True
    assert at_the_end != flushes
