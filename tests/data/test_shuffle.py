"""The order of the data is a pure function of (seed, step), with each image once an epoch."""

import numpy as np
import pytest
from jax.typing import ArrayLike

from rnnjax.data.batches import Batch, eval_batches, stream, train_rows
from rnnjax.data.datasets import Split
from rnnjax.data.shuffle import batch_indices, permutation


def numbered(size: int) -> Split:
    """Images whose pixels hold their own index."""
    index = np.arange(size)
    images = np.zeros((size, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = index % 256, index // 256
    return Split(images, (index % 10).astype(np.int32))


def indices_of(images: ArrayLike) -> np.ndarray:
    images = np.asarray(images, int)
    return images[:, 0, 0] + 256 * images[:, 0, 1]


def train_batches(split: Split, seed: int, steps: range, process: int, of: int) -> list[Batch]:
    """Streams batches of 32 over all processes, two steps at a time, and cuts them apart."""
    rows = train_rows(len(split.labels), seed, 32, steps, 2, process, of)
    return [
        Batch(images, labels)
        for batch in stream(split, rows)
        for images, labels in zip(batch.images, batch.labels, strict=True)
    ]


@pytest.mark.parametrize(("size", "batch_size"), [(100, 10), (100, 7), (10, 25), (1, 1)])
def test_each_image_once_an_epoch(size: int, batch_size: int) -> None:
    num_steps = -(-3 * size // batch_size)
    stream = np.concatenate([batch_indices(5, t, batch_size, size) for t in range(num_steps)])
    epochs = stream[: 3 * size].reshape(3, size)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(size), (3, 1)))


def test_epochs_and_seeds_differ() -> None:
    orders = [permutation(seed, epoch, 1_000) for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    agreement = [np.mean(a == b) for i, a in enumerate(orders) for b in orders[:i]]
    assert max(agreement) < 0.02


def test_the_order_stays_what_it_was() -> None:
    """From the definition of Philox4x64-10 (Salmon et al., 2011), in Python's own integers."""

    def philox(key: tuple[int, int], counter: int) -> list[int]:
        words, (k0, k1), mask = [counter, 0, 0, 0], key, 2**64 - 1
        for _ in range(10):
            low = 0xD2E7470EE14C6C93 * words[0]
            high = 0xCA5A826395121157 * words[2]
            words = [(high >> 64) ^ words[1] ^ k0, high & mask, (low >> 64) ^ words[3] ^ k1]
            words.append(low & mask)
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        return words

    raw = [word for counter in (1, 2, 3) for word in philox((7, 3), counter)]
    expected = sorted(range(12), key=raw.__getitem__)
    assert permutation(7, 3, 12).tolist() == expected


def test_a_run_can_start_anywhere() -> None:
    split = numbered(300)
    whole = train_batches(split, 1, range(20), 0, 1)
    rest = train_batches(split, 1, range(14, 20), 0, 1)
    assert len(rest) == 6
    for late, early in zip(rest, whole[14:], strict=True):
        np.testing.assert_array_equal(late.images, early.images)
        np.testing.assert_array_equal(late.labels, early.labels)


def test_batches_hold_the_images_of_the_order() -> None:
    split = numbered(300)
    for step, batch in enumerate(train_batches(split, 4, range(12), 0, 1)):
        np.testing.assert_array_equal(indices_of(batch.images), batch_indices(4, step, 32, 300))
        assert batch.images.dtype == np.uint8
        assert batch.labels.dtype == np.int32


def test_processes_share_a_batch() -> None:
    split = numbered(300)
    whole = train_batches(split, 1, range(10), 0, 1)
    shares = [train_batches(split, 1, range(10), process, 4) for process in range(4)]
    for step, batch in enumerate(whole):
        together = np.concatenate([share[step].images for share in shares])
        np.testing.assert_array_equal(together, batch.images)


@pytest.mark.parametrize(("size", "batch_size"), [(100, 10), (100, 32), (100, 128), (97, 4)])
@pytest.mark.parametrize("num_processes", [1, 2])
def test_evaluation_counts_every_image_once(size: int, batch_size: int, num_processes: int) -> None:
    split, seen = numbered(size), []
    for process in range(num_processes):
        batches = list(eval_batches(split, batch_size, process, num_processes))
        assert len(batches) == -(-size // batch_size)  # all processes take the same steps
        for batch in batches:
            assert batch.mask is not None
            assert len(batch.images) == len(batch.mask) == batch_size // num_processes
            seen.extend(indices_of(batch.images)[batch.mask])
    assert sorted(seen) == list(range(size))
