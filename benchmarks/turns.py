"""Contenders that take turns, and how their times compare round by round."""

import statistics
from collections.abc import Mapping
from typing import Protocol


class Contender(Protocol):
    def milliseconds(self, what: str, times: int) -> float:
        """Does something so many times, and returns how long it took once."""
        ...


def take_turns(
    contenders: Mapping[str, Contender], what: str, rounds: int, turn: float
) -> dict[str, list[float]]:
    """Returns the milliseconds of each contender in each round.

    Args:
      contenders: by name.
      what: each of them is to do.
      rounds: in which all have one turn each.
      turn: seconds at least that a contender has in a round.
    """
    times = {}
    for name, contender in contenders.items():
        contender.milliseconds(what, 1)
        times[name] = max(1, round(turn * 1e3 / contender.milliseconds(what, 1)))
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            measured[name].append(contender.milliseconds(what, times[name]))
    return measured


def ratio(ours: list[float], theirs: list[float]) -> str:
    """The median of the ratios of all rounds, and in brackets the least and the greatest."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
