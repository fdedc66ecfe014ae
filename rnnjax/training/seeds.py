"""The seeds of a run under way: which of them go on, and which have failed."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from rnnjax.errors import NonFiniteError
from rnnjax.training.over_seeds import unstack

T = TypeVar("T")


class Seeds:
    """Tells arrays of all seeds apart, and keeps the failure of one from ending the others.

    What has failed is computed on with the others, since they are one program; nothing is reported
    of it any more.

    Args:
      seeds: of the run.
      failed: by seed, as a text: why it failed before.
      say: prints a line.
    """

    def __init__(
        self, seeds: Sequence[int], failed: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._seeds = seeds
        self.failed = dict(failed)
        self._say = say

    @property
    def going_on(self) -> list[int]:
        """Those that have not failed."""
        return [seed for seed in self._seeds if str(seed) not in self.failed]

    def each(self, tree: T) -> Iterator[tuple[int, T]]:
        """Yields the arrays of each seed that goes on, from those of all."""
        yield from self.of_those_that_go_on(unstack(tree, len(self._seeds))).items()

    def of_those_that_go_on(self, by_seed: Sequence[T]) -> dict[int, T]:
        """Returns {seed: what it has} of a list of what all have."""
        return self.without_failed(dict(zip(self._seeds, by_seed, strict=True)))

    def without_failed(self, by_seed: Mapping[int, T]) -> dict[int, T]:
        """Returns {seed: what it has} without those that have failed meanwhile."""
        return {seed: of_seed for seed, of_seed in by_seed.items() if seed in self.going_on}

    @contextlib.contextmanager
    def may_fail(self, seed: int) -> Iterator[None]:
        """Takes a NonFiniteError as the failure of one seed, unless no other goes on."""
        try:
            yield
        except NonFiniteError as error:
            if str(seed) in self.failed:
                return
            if self.going_on == [seed]:
                raise
            self.failed[str(seed)] = str(error)
            self._say(f"seed {seed} failed, the others go on: {error}")
