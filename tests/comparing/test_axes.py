"""What a comparison varies: how it is said on the command line, and what is wrong in one line."""

import re
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from rnnjax import stored_config
from rnnjax.comparing.axes import (
    Axis,
    Choice,
    Range,
    Searched,
    combinations,
    parse,
)
from rnnjax.comparing.values import variant_name, with_values
from rnnjax.config import Config
from rnnjax.errors import ConfigError

RATE = "optimizer.learning_rate"
OPTION = "model.cell_options"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("model.cell=lstm, gru", Axis("model.cell", ("lstm", "gru"))),
        ("model.cell=../my_cells.py:Leaky", Axis("model.cell", ("../my_cells.py:Leaky",))),
        ("data.name=mnist,emnist/balanced", Axis("data.name", ("mnist", "emnist/balanced"))),
        ("data.validation_size=500,5000", Axis("data.validation_size", (500, 5_000))),
        ("model.bidirectional=true,False", Axis("model.bidirectional", (True, False))),
        (f"{RATE}=1,3e-3", Axis(RATE, (1.0, 0.003))),
        (f"{RATE}=best:1e-3,3e-3", Choice(RATE, (0.001, 0.003))),
        ("model.readout=best:mean,max", Choice("model.readout", ("mean", "max"))),
        (f"{RATE}=log:1e-4..1e-2", Range(RATE, 1e-4, 1e-2, is_log=True, is_int=False)),
        (f"{RATE}=1..2", Range(RATE, 1.0, 2.0, is_log=False, is_int=False)),
        ("model.num_layers=1..4", Range("model.num_layers", 1, 4, is_log=False, is_int=True)),
        (f"{OPTION}.a=true,x,0.5,2", Axis(f"{OPTION}.a", (True, "x", 0.5, 2))),
        (f"{OPTION}.a=(3, 2),[5,2]", Axis(f"{OPTION}.a", ([3, 2], [5, 2]))),
        (f"{OPTION}.a=0.5..2", Range(f"{OPTION}.a", 0.5, 2.0, is_log=False, is_int=False)),
        (f"{OPTION}.a=log:1..8", Range(f"{OPTION}.a", 1, 8, is_log=True, is_int=True)),
    ],
)
def test_an_argument_is_compared_or_searched(argument: str, expected: Axis | Searched) -> None:
    compared, searched = parse([argument])
    assert [*compared, *searched] == [expected]
    assert bool(compared) == isinstance(expected, Axis)
    got = [*compared, *searched][0]
    assert list(map(type, got)) == list(map(type, expected))  # 1.0 is 1, and True too


def test_the_notation_of_the_docs(root: Path) -> None:
    page = (root / "docs" / "comparing.md").read_text()
    rows = re.findall(r"^\| (`.*`) \| (compared|searched):", page, re.MULTILINE)
    assert len(rows) == 4
    for row, meaning in rows:
        for values in re.findall("`(.*?)`", row):
            name = "model.cell" if values.startswith("lstm") else RATE
            compared, searched = parse([f"{name}={values}"])
            assert len({"compared": compared, "searched": searched}[meaning]) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model.cell", "must be NAME=VALUES, as in model.cell=lstm,gru"),
        ("=lstm", "must be NAME=VALUES"),
        ("model.cel=lstm", "unknown setting 'model.cel'; did you mean 'model.cell'?"),
        ("cell=lstm", "unknown setting 'cell'; known are: model.cell"),
        ("learning_rate=1", "did you mean 'optimizer.learning_rate'?"),
        ("workdir=a,b", "unknown setting 'workdir'; known are: augmentation.erase_area"),
        ("seed=1,2", "the seeds of all variants are the same; --seeds says how many"),
        ("seeds=3", "--seeds says how many"),
        ("model.cell_sha256=ab", "it follows from model.cell"),
        ("parallel.host_devices=1,2", "it says where a run computes, not what"),
        ("model.cell_options={}", "name one of them, as in model.cell_options.use_peepholes=True"),
        ("model.cell_options.=3", "unknown setting 'model.cell_options.'"),
        ("model.cell_options.a.b=3", "unknown setting 'model.cell_options.a.b'"),
        ("model.cell=", "a value is empty"),
        ("model.cell=lstm,", "a value is empty"),
        (f"{RATE}=best:", "a value is empty"),
        (f"{RATE}=1e-3,abc", "'abc' must be a number, such as 0.001"),
        (f"{RATE}=1e-3,0.001", "two of the values have the same name, 0.001"),
        ("model.cell=a/x.py:C,b/x.py:C", "two of the values have the same name, x.py:C"),
        ("model.cell=a.py:C+k=1e-3+n=2,a.py:C+n=2+k=0.001", "the same name, a.py:C+k=0.001+n=2"),
        ("model.cell=lstm+k=1+k=2", "an option is given twice"),
        (f"{OPTION}.a=(1,2),[1,2]", "two of the values have the same name, (1, 2)"),
        (f"{OPTION}.a=1,1e999", "inf cannot be an option of a cell"),
        (f"{OPTION}.a={{1}}", "{1} cannot be an option of a cell"),
        (f"{RATE}=nan", "config.optimizer.learning_rate=nan is out of range: must be above 0"),
        ("model.num_layers=1e2", "'1e2' must be a whole number, such as 100"),
        ("model.hidden_size=99999999999", "config.model.hidden_size=99999999999 is too large"),
        ("model.bidirectional=1", "'1' must be True or False"),
        ("model.readout=mean,mxa", "config.model.readout='mxa' is unknown; did you mean 'max'?"),
        ("data.name=../x", "'../x' is no name of a data set"),
        ("data.name=best:mnist,kmnist", "the images that choose would not be the same"),
        ("data.validation_size=1..9", "the images that choose would not be the same"),
        ("data.validation_size=5,0", "without images held out, nothing can be chosen on them"),
        (f"{RATE}=best:1e-3", "best: of one value leaves nothing to choose"),
        (f"{RATE}=1e-3..", "'' must be a number"),
        (f"{RATE}=1e-4..1e-3,1", "'1e-3,1' must be a number"),
        (f"{RATE}=1..0.1", "a range goes from the lower to the higher number"),
        (f"{RATE}=1..1", "a range goes from the lower to the higher number"),
        (f"{RATE}=0..1", "config.optimizer.learning_rate=0.0 is out of range: must be above 0"),
        ("optimizer.beta1=0.5..1", "config.optimizer.beta1=1.0 is out of range"),
        ("optimizer.weight_decay=log:0..1", "a range on a logarithmic scale begins above 0"),
        (f"{RATE}=log:1e-3", "log: is of a range, such as log:1e-4..1e-2"),
        ("model.num_layers=1.5..3", "'1.5' must be a whole number"),
        ("model.cell=1..4", "only numbers have a range; name the values"),
        ("model.bidirectional=0..1", "only numbers have a range; name the values"),
    ],
)
def test_a_wrong_argument_is_told_with_what_it_may_be(argument: str, message: str) -> None:
    start = re.escape(f"--vary {argument}: ")
    with pytest.raises(ConfigError, match=f"^{start}.*{re.escape(message)}"):
        parse([argument])


def test_a_setting_is_varied_once() -> None:
    with pytest.raises(ConfigError, match="readout is varied twice; give all of its values"):
        parse(["model.readout=last", "model.cell=lstm", "model.readout=best:mean,max"])


def test_combinations_vary_the_last_axis_fastest() -> None:
    compared, _ = parse(["model.cell=lstm,gru", f"{RATE}=1e-3..1e-2", "model.num_layers=1,2"])
    assert [tuple(values.values()) for values in combinations(compared)] == [
        ("lstm", 1),
        ("lstm", 2),
        ("gru", 1),
        ("gru", 2),
    ]
    assert combinations([]) == [{}]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, ""),
        (
            {"model.cell": "/a/my_cells.py:Leaky", RATE: 3e-3},
            "my_cells.py:Leaky, learning_rate=0.003",
        ),
        ({"data.name": "mnist", "model.num_layers": 2}, "mnist, num_layers=2"),
        ({RATE: 0.12345678}, "learning_rate=0.12345678"),  # %g alone would name two values alike
        ({f"{OPTION}.shape": [3, 2]}, "shape=(3, 2)"),
        ({f"{OPTION}.hidden_size": 2}, "model.cell_options.hidden_size=2"),  # as another setting's
    ],
)
def test_people_call_a_variant_by_what_is_varied(values: dict[str, Any], name: str) -> None:
    assert variant_name(values) == name


def test_values_replace_those_of_a_copy() -> None:
    config = Config(num_steps=100)
    config.model.cell, config.model.cell_sha256 = "my_cells.py:Leaky", "abc"
    config.model.cell_options = ConfigDict({"leak": 0.5, "shape": (3, 2)})
    before = stored_config.to_dict(config)
    other = with_values(config, {RATE: 0.01, f"{OPTION}.leak": 0.9})
    changed = {RATE: 0.01, OPTION: {"leak": 0.9, "shape": [3, 2]}}
    assert stored_config.to_dict(other) == {**before, **changed}
    assert stored_config.to_dict(config) == before
    # The sha256 of one cell's file is not another's.
    assert with_values(config, {"model.cell": "gru"}).model.cell_sha256 == ""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer.warmup_steps", 3_000, "is more than config.num_steps=2000"),
        (RATE, "fast", "config.optimizer.learning_rate must be of type float, got 'fast'"),
        ("model.sell", "lstm", "unknown setting config.model.sell"),
    ],
)
def test_values_must_fit_the_other_settings(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_values(Config(), {name: value})
