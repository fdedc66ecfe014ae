"""Sizes of as many parameters, against counts by hand, and of as long steps, on made-up times."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rnnjax.comparing.sizes import (
    MOST_MEASUREMENTS,
    equal_milliseconds,
    equal_parameters,
    num_parameters,
)
from rnnjax.config import Config
from rnnjax.errors import ConfigError

F, K = 28, 10  # features of a row, classes
COUNTS: dict[str, Callable[[int], int]] = {
    "rnn": lambda h: (F + h + 1) * h + readout(h),
    "gru": lambda h: 3 * (F + h + 1) * h + readout(h),
    "lstm": lambda h: 4 * (F + h + 1) * h + readout(h),
    # Channels at 28 positions, of one input channel, with a kernel of 3 or 3 x 3.
    "conv_lstm_1d": lambda h: conv_lstm(max(1, h // 28), 3),
    "conv_lstm_2d": lambda h: conv_lstm(max(1, h // 28), 9),
}


def readout(outputs: int) -> int:
    return (outputs + 1) * K


def conv_lstm(channels: int, kernel: int) -> int:
    return (kernel * (1 + channels) + 1) * 4 * channels + readout(28 * channels)


def with_cell(cell: str, hidden_size: int = 256, **options: Any) -> Config:
    config = Config()
    config.model.cell, config.model.hidden_size = cell, hidden_size
    config.model.cell_options.update(options)
    return config


@pytest.mark.parametrize("cell", COUNTS)
def test_parameters_are_those_counted_by_hand(cell: str) -> None:
    for size in (1, 33, 64):
        assert num_parameters(with_cell(cell, size)) == COUNTS[cell](size)


def test_all_layers_count_and_what_is_no_parameter_does_not() -> None:
    config = with_cell("lstm", 16)
    config.model.num_layers, config.model.bidirectional = 2, True
    config.optimizer.average_decay, config.seeds = 0.9, 3
    first, second = (4 * (inputs + 16 + 1) * 16 for inputs in (F, 32))
    assert num_parameters(config) == 2 * (first + second) + readout(32)


@pytest.mark.parametrize("cell", COUNTS)
def test_no_size_is_nearer(cell: str) -> None:
    target = 3_000
    distances = [abs(COUNTS[cell](size) - target) for size in range(1, 2_000)]
    expected = 1 + int(np.argmin(distances))  # the first of equals
    assert equal_parameters(with_cell(cell), target) == expected


@pytest.mark.parametrize(
    "cell", ["layer_norm_gru", "phased_lstm", "indrnn", "conv_lstm_3d", "grid_lstm", "slstm", "nas"]
)
def test_cells_come_near_a_small_lstm(cell: str) -> None:
    target = COUNTS["lstm"](64)
    size = equal_parameters(with_cell(cell), target)
    assert num_parameters(with_cell(cell, size)) == pytest.approx(target, rel=0.05)


@pytest.mark.parametrize("start", [250, 256])
def test_sizes_that_a_cell_refuses_are_left_out(start: int) -> None:
    target = 24_458
    counts = {size: (F + size) * size + 4 * size + readout(size) for size in range(4, 1_000, 4)}
    config = with_cell("glstm", start, num_groups=4)
    nearest = min(counts, key=lambda size: abs(counts[size] - target))
    assert equal_parameters(config, target) == nearest
    measured: list[int] = []

    def measure(config: Config) -> float:
        measured.append(config.model.hidden_size)
        return config.model.hidden_size / 10

    assert equal_milliseconds(config, 13.7, measure) == 136
    assert not [size for size in measured if size % 4]


@pytest.mark.parametrize(
    ("config", "target", "message"),
    [
        (with_cell("lstm"), 100, "cell=lstm: .* 100 parameters; the nearest, 1, has 140"),
        (with_cell("conv_lstm_2d"), 600, "cell=conv_lstm_2d: .*; the nearest, 56, has 794"),
        (with_cell("lsmt"), 5_000, "did you mean 'lstm'"),
        (with_cell("glstm", num_groups=3), 5_000, "num_groups must divide"),
    ],
)
def test_where_there_is_no_such_size(config: Config, target: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        equal_parameters(config, target)


TIMES: dict[str, Callable[[int], float]] = {
    "of products": lambda h: 0.3 + 2e-4 * h**2,
    "mostly the same": lambda h: 2 + 0.01 * h,
    "in blocks": lambda h: 1 + 0.02 * 32 * np.ceil(h / 32),
}


@pytest.mark.parametrize(
    ("time", "target"),
    [("of products", 4.0), ("of products", 60.0), ("mostly the same", 13.0), ("in blocks", 2.0)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_size_of_as_long_steps_is_found_in_a_few_noisy_measurements(
    time: str, target: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    measured: list[int] = []

    def measure(config: Config) -> float:
        measured.append(config.model.hidden_size)
        return float(TIMES[time](measured[-1]) * random.uniform(0.95, 1.05))

    size = equal_milliseconds(with_cell("gru"), target, measure)
    assert TIMES[time](size) == pytest.approx(target, rel=0.2)
    assert size in measured
    assert len({*measured}) == len(measured) <= MOST_MEASUREMENTS


def test_no_size_is_as_fast_as_that() -> None:
    with pytest.raises(ConfigError, match=r"cell=gru: .* 0\.2 ms; the nearest, \d, takes 0.3"):
        equal_milliseconds(
            with_cell("gru"), 0.2, lambda config: TIMES["of products"](config.model.hidden_size)
        )
