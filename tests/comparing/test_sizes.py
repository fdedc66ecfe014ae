"""Hidden sizes of models as large, or as slow, as another one."""

import dataclasses
import re

import pytest

from rnnjax.comparing import axes
from rnnjax.comparing.sizes import (
    MOST_MEASUREMENTS,
    equal_parameters,
    equal_seconds,
    num_parameters,
)
from rnnjax.config import Config
from rnnjax.errors import ConfigError

FEATURES, CLASSES = 28, 10


def config_of(cell: str, hidden_size: int = 64) -> Config:
    config = Config()
    config.data.name, config.model.hidden_size = "garments", hidden_size
    return axes.with_values(config, {"model.cell": cell})


def resized(config: Config, size: int) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=size))


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("rnn", 1)])
def test_parameters_are_those_of_the_equations(cell: str, gates: int) -> None:
    for units in (1, 64):
        expected = gates * units * (FEATURES + units + 1) + CLASSES * (units + 1)
        assert num_parameters(config_of(cell, units)) == expected


@pytest.mark.parametrize("cell", ["gru", "glstm+num_groups=4", "conv_lstm_1d"])
def test_the_size_found_is_the_nearest_that_the_cell_allows(cell: str) -> None:
    target, config = num_parameters(config_of("lstm")), config_of(cell)
    size = equal_parameters(config, target)
    gap = abs(num_parameters(resized(config, size)) - target)
    assert gap <= 0.1 * target
    unit = {"glstm+num_groups=4": 4, "conv_lstm_1d": 28}.get(cell, 1)
    for other in (size - unit, size + unit):
        assert abs(num_parameters(resized(config, other)) - target) >= gap


def test_a_size_that_is_far_from_all_is_refused() -> None:
    number = num_parameters(config_of("glstm+num_groups=4", 4))
    message = f"glstm has {number:,} parameters with config.model.hidden_size=4, and no size comes"
    with pytest.raises(ConfigError, match=re.escape(message)):
        equal_parameters(config_of("glstm+num_groups=4"), number // 2)


@pytest.mark.parametrize("exponent", [0.8, 1.5, 2.0])
@pytest.mark.parametrize("target", [0.004, 0.02, 0.3])
def test_the_size_of_equal_time_is_found_in_few_measurements(
    exponent: float, target: float
) -> None:
    measured: list[int] = []

    def seconds(config: Config) -> float:
        size = config.model.hidden_size
        measured.append(size)
        noise = 1 + 0.02 * (-1) ** len(measured)
        return (0.002 + 1e-2 * (size / 64) ** exponent) * noise

    size = equal_seconds(config_of("rnn"), target, seconds)
    assert len(measured) <= MOST_MEASUREMENTS
    assert len({*measured}) == len(measured)
    assert size in measured
    assert 0.002 + 1e-2 * (size / 64) ** exponent == pytest.approx(target, rel=0.1)
