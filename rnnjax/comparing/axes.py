"""What a comparison varies, as its command line says it: `--vary NAME=VALUES`.

`a,b,c` are compared: each is a row of the table. Of `best:a,b,c`, of `low..high` and of
`log:low..high` one value is searched for each row. Nothing heavy is imported here, so that a wrong
argument is told at once.
"""

import collections
import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from rnnjax.comparing.values import CELL, FIELDS, OPTIONS, canonical, split_options
from rnnjax.errors import ConfigError, did_you_mean
from rnnjax.system.arguments import parse_option, parse_value
from rnnjax.validation import check_value

NOT_VARIED = {
    "seed": "the seeds of all variants are the same; --seeds says how many",
    "seeds": "the seeds of all variants are the same; --seeds says how many",
    **dict.fromkeys(
        ("parallel.devices", "parallel.host_devices", "parallel.api"),
        "it says where a run computes, not what; --config.parallel sets it for all",
    ),
    "model.cell_sha256": "it follows from model.cell",
    OPTIONS: f"name one of them, as in {OPTIONS}.use_peepholes=True,False",
}
NOT_SEARCHED = ("data.name", "data.validation_size")
COMMA = re.compile(r",(?![^(\[]*[)\]])")  # but for those of a tuple


# What the hidden sizes of the rows are: as set, of as many parameters as the first row's, or of
# steps that take as long.
COMPUTE = AS_SET, EQUAL, EQUAL_SECONDS = ("as-set", "equal", "equal-seconds")


class Axis(NamedTuple):
    """A setting whose values are compared: each combination of several is a row of the table."""

    name: str  # dotted, such as optimizer.learning_rate or model.cell_options.NAME
    values: tuple[Any, ...]


class Choice(NamedTuple):
    """A setting of whose values the best on the validation images is searched."""

    name: str
    values: tuple[Any, ...]


class Range(NamedTuple):
    """A setting whose best number on the validation images is searched."""

    name: str
    low: float | int
    high: float | int  # included
    is_log: bool  # as many trials between 0.001 and 0.01 as between 0.01 and 0.1
    is_int: bool


Searched = Choice | Range


def parse(arguments: Sequence[str]) -> tuple[list[Axis], list[Searched]]:
    """Returns what is compared and what is searched.

    Args:
      arguments: `NAME=VALUES` each.

    Raises:
      ConfigError: for one that says neither, a setting that cannot be varied or is named twice.
    """
    parsed: dict[str, Axis | Searched] = {}
    for argument in arguments:
        try:
            one = _parse(argument)
            if one.name in parsed:
                raise ConfigError(f"{one.name} is varied twice; give all of its values at once")
        except ConfigError as error:
            raise ConfigError(f"--vary {argument}: {error}") from None
        parsed[one.name] = one
    for one in parsed.values():
        brought = (
            [split_options(value)[1] for value in one.values if one.name == CELL]
            if isinstance(one, Axis | Choice)
            else []
        )
        for name in {f"{OPTIONS}.{option}" for options in brought for option in options}:
            if name in parsed:
                raise ConfigError(f"--vary: {name} is varied, and a cell brings its own")
    compared = [one for one in parsed.values() if isinstance(one, Axis)]
    return compared, [one for one in parsed.values() if not isinstance(one, Axis)]


def _parse(argument: str) -> Axis | Searched:
    name, equals, text = (part.strip() for part in argument.partition("="))
    if not (name and equals):
        raise ConfigError("must be NAME=VALUES, as in model.cell=lstm,gru")
    _check_name(name)
    one = _range(name, text) or _values(name, text)
    if name in NOT_SEARCHED and not isinstance(one, Axis):
        raise ConfigError("cannot be searched: the images that choose would not be the same")
    return one


def _check_name(name: str) -> None:
    if name in NOT_VARIED:
        raise ConfigError(NOT_VARIED[name])
    option = name.removeprefix(f"{OPTIONS}.")
    if name not in FIELDS and not (option != name and option.isidentifier()):
        known = [*FIELDS.keys() - NOT_VARIED]
        meant = [other for other in known if other.endswith(f".{name}")]
        raise ConfigError(f"unknown setting {name!r}; {did_you_mean(name, meant or known)}")


def _range(name: str, text: str) -> Range | None:
    """Returns the numbers that `low..high` and `log:low..high` mean; None of anything else."""
    ends, is_log = text.removeprefix("log:"), text.startswith("log:")
    low, dots, high = ends.partition("..")
    is_number = name in FIELDS and FIELDS[name].type in (int, float)
    if not dots or not (is_number or (_is_number(low) and _is_number(high))):
        if is_log:
            raise ConfigError("log: is of a range, such as log:1e-4..1e-2")
        return None
    if name in FIELDS and not is_number:
        raise ConfigError("only numbers have a range; name the values, as in best:a,b")
    lowest, highest = _parse_value(name, low), _parse_value(name, high)
    if not lowest < highest:
        raise ConfigError("a range goes from the lower to the higher number")
    if is_log and lowest <= 0:
        raise ConfigError("a range on a logarithmic scale begins above 0")
    if isinstance(lowest, int) and isinstance(highest, int):
        return Range(name, lowest, highest, is_log, is_int=True)
    return Range(name, float(lowest), float(highest), is_log, is_int=False)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _values(name: str, text: str) -> Axis | Choice:
    is_choice = text.startswith("best:")
    texts = [part.strip() for part in COMMA.split(text.removeprefix("best:"))]
    if "" in texts:
        raise ConfigError("a value is empty; values are separated by a comma each")
    values = tuple(_parse_value(name, part) for part in texts)
    counted = collections.Counter(canonical(name, value) for value in values)
    same, times = counted.most_common(1)[0]
    if times > 1:
        raise ConfigError(f"two of the values have the same name, {same}")
    if is_choice and len(values) < 2:
        raise ConfigError("best: of one value leaves nothing to choose")
    if name == "data.validation_size" and 0 in values:
        raise ConfigError("without images held out, nothing can be chosen on them")
    return (Choice if is_choice else Axis)(name, values)


def _parse_value(name: str, text: str) -> Any:
    if name not in FIELDS:
        return _as_stored(parse_option(text))  # whether the cell has it is told when it is made
    kind: Any = FIELDS[name].type
    value = parse_value(kind, text)
    check_value(name, FIELDS[name], value)
    return value


def _as_stored(option: object) -> Any:
    """Returns the option of a cell as JSON gives it back."""
    try:
        return json.loads(json.dumps(option, allow_nan=False))
    except (TypeError, ValueError):
        raise ConfigError(f"{option!r} cannot be an option of a cell") from None


def combinations(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Returns the values of each variant; the last axis varies fastest."""
    names = [axis.name for axis in axes]
    products = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(names, values, strict=True)) for values in products]
