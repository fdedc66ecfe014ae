"""The table of a made-up comparison and its files, read back by others."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from rnnjax import stored_config
from rnnjax.comparing import table
from rnnjax.comparing.results import Run, Variant, read_json, to_csv, to_json
from rnnjax.comparing.statistics import holm
from rnnjax.config import Config
from rnnjax.errors import ConfigError, DataError
from tests.comparing.conftest import HOSTILE, make_variant


@pytest.fixture(scope="module")
def rows(variants: list[Variant]) -> list[table.Row]:
    return table.summarize(variants)


@pytest.fixture(scope="module")
def runs(variants: list[Variant]) -> list[Run]:
    return [run for variant in variants for run in variant.runs]


def test_each_variant_is_compared_with_the_first(rows: list[table.Row]) -> None:
    assert [row.verdict for row in rows] == [
        "first",
        "cannot tell",
        "better",
        "too few seeds",
        "too few seeds",
    ]
    assert [row.difference.n if row.difference else None for row in rows] == [None, 4, 3, 2, 0]
    raw = np.array([row.difference.p if row.difference else np.nan for row in rows])
    np.testing.assert_array_equal([row.p for row in rows], holm(raw))
    assert [row.test.n for row in rows] == [4, 4, 3, 2, 0]
    assert [row.ms_per_step for row in rows[:4]] == [3.5, 3.5, 3.0, 2.5]


def test_other_images_are_not_compared(variants: list[Variant]) -> None:
    config = Config()
    config.data.name = "garments"
    elsewhere = [run._replace(settings=stored_config.to_dict(config)) for run in variants[1].runs]
    rows = table.summarize([variants[0], variants[1]._replace(runs=elsewhere)])
    assert (rows[1].difference, rows[1].verdict) == (None, "other images")


def test_the_table_in_markdown(rows: list[table.Row], runs: list[Run]) -> None:
    text = table.to_markdown(rows, runs)
    assert text == table.to_markdown(rows, runs)
    lines = text.splitlines()
    widths = {len(line) for line in lines[:7]}
    assert len(widths) == 1  # aligned, so that it can be read as it is
    cells = [line.replace("\\|", "!").split("|")[1:-1] for line in lines[:7]]
    assert {len(of_line) for of_line in cells} == {len(table.COLUMNS)}
    assert [cell.strip() for cell in cells[0]] == [*table.COLUMNS]
    first, _, better, few, none = ([cell.strip() for cell in of] for of in cells[2:])
    assert first[0] == "`lstm`"
    assert first[-3:] == ["-", "-", "first"]
    assert better[0] == "`" + HOSTILE.replace("`", "'").replace("|", "!") + "`"
    assert (better[3], better[-1]) == ("3 of 4", "better")
    assert few[-2:] == ["-", "too few seeds"]
    assert none[2:] == ["-", "0 of 2", "-", "-", "-", "-", "too few seeds"]
    mean, sd = rows[0].test[:2]
    assert first[5].startswith(f"{mean:.4f} ± {sd:.4f} ({rows[0].test.low:.4f} to ")
    assert table.CHOSEN in lines
    assert "- indrnn, seed 1: the loss is NaN at step 20" in lines


def test_a_table_without_validation_says_so(variants: list[Variant]) -> None:
    runs = [run._replace(validation_accuracy=np.nan) for run in variants[0].runs]
    rows = table.summarize([variants[0]._replace(runs=runs)])
    assert table.NOT_HELD_OUT in table.to_markdown(rows, runs)


def test_one_run_is_a_table_too() -> None:
    variant = make_variant("lstm", {0: np.ones(100, bool)})
    assert " 1.0000 | " in table.to_markdown(table.summarize([variant]), variant.runs)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        ("variant", [2, 1, 4, 0, 3]),
        ("seeds", [0, 1, 2, 3, 4]),
        ("ms per step", [3, 2, 0, 1, 4]),  # what is unknown comes last
        ("p", [2, 1, 0, 3, 4]),
    ],
)
def test_rows_in_the_order_of_a_column(
    rows: list[table.Row], column: str, order: list[int]
) -> None:
    assert table.sort(rows, column) == [rows[n] for n in order]


def test_the_best_comes_first(rows: list[table.Row]) -> None:
    for column in ("test accuracy", "validation accuracy", "difference"):
        assert table.sort(rows, column)[0].name == HOSTILE


def test_an_unknown_column(rows: list[table.Row]) -> None:
    with pytest.raises(ConfigError, match=r"no column 'tests acuracy'.* 'test accuracy'"):
        table.sort(rows, "tests acuracy")
    with pytest.raises(ConfigError, match="known are: difference, ms per step, p, parameters"):
        table.sort(rows, "x")


def test_results_as_csv(runs: list[Run]) -> None:
    content = to_csv(runs)
    assert content == to_csv(runs)
    actual = pandas.read_csv(io.BytesIO(content))
    assert [*actual["variant"]] == [run.variant for run in runs]
    for name in ("seed", "parameters", "test_accuracy", "ms_per_step", "peak_memory"):
        np.testing.assert_array_equal(actual[name], [getattr(run, name) for run in runs])
    settings = {name.removeprefix("config.") for name in actual if name.startswith("config.")}
    assert settings == runs[0].settings.keys()
    assert set(actual["config.model.cell_options"]) == {"{}"}
    (first, *_) = csv.DictReader(io.StringIO(content.decode()))
    assert (first["config.optimizer.learning_rate"], first["failure"]) == ("0.001", "")


def test_results_as_json(runs: list[Run], tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(to_json(runs))
    actual = read_json(path)
    assert to_json(actual) == to_json(runs)
    np.testing.assert_equal([run._asdict() for run in actual], [run._asdict() for run in runs])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "0"},
        {"seed": True},
        {"variant": None},
        {"test_accuracy": "high"},
        {"settings": []},
        {"more": 1},
    ],
)
def test_results_that_are_none(runs: list[Run], tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "results.json"
    content = json.loads(to_json(runs))
    content["runs"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"results\.json is no file of a comparison's results: "):
        read_json(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": 1}', '{"runs": [1]}', "\xff"])
def test_a_file_of_something_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="is no file of a comparison's results"):
        read_json(path)
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        read_json(tmp_path / "nowhere")
