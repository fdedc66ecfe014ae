"""Which image comes when: a pure function of (seed, step), so that a run can start anywhere."""

import functools

import numpy as np


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """Returns a random order of `range(size)`, int64, the same on every machine.

    NumPy promises that the raw stream of a bit generator stays as it is, not what its methods,
    such as `Generator.permutation`, make of it: so the raw integers themselves are sorted.
    """
    raw = np.random.Philox(key=[seed, epoch]).random_raw(size)
    order = np.argsort(raw, kind="stable")
    order.flags.writeable = False  # it is cached
    return order


def batch_indices(seed: int, step: int, batch_size: int, size: int) -> np.ndarray:
    """Returns which of `size` images the batch of `step` holds, `[batch_size]`, int64.

    The epochs follow each other without a gap, each in an order of its own; a batch may hold the
    end of one and the start of the next, so that each epoch has every image exactly once.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // size
    return np.concatenate(
        [
            permutation(seed, int(epoch), size)[positions[epochs == epoch] % size]
            for epoch in np.unique(epochs)
        ]
    )
