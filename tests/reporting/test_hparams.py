"""What TensorBoard's own HParams makes of runs: those that differ in the seed alone are one row."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.reporting.report import open_report
from rnnjax.reporting.summaries import FINAL_FIGURES, open_pool


def read(*folders: Path) -> EventMultiplexer:
    """Returns what TensorBoard's backend has read of the runs in some folders."""
    multiplexer = EventMultiplexer()
    for folder in folders:
        multiplexer.AddRunsFromDirectory(str(folder), folder.name)
    return multiplexer.Reload()


def session_groups(*folders: Path) -> list[Any]:
    """Returns the rows of HParams, by their names."""
    provider = MultiplexerDataProvider(read(*folders), "")
    context = Context(TBContext(data_provider=provider))
    protos: Any = api_pb2
    statuses = (protos.STATUS_UNKNOWN, protos.STATUS_SUCCESS)
    columns = [
        protos.ColParams(metric=protos.MetricName(tag=f"final/{name}")) for name in FINAL_FIGURES
    ]
    request = protos.ListSessionGroupsRequest(
        allowed_statuses=statuses,
        aggregation_type=protos.AGGREGATION_AVG,
        slice_size=10,
        col_params=columns,
    )
    return [*Handler(RequestContext(), context, "", request).run().session_groups]


def figures(group: Any) -> dict[str, float]:
    return {value.name.tag: value.value for value in group.metric_values}


def write_run(folder: Path, config: Config, accuracy: float | None) -> None:
    """Writes a run that has come to an accuracy, or has not ended."""
    open_run = open_report(
        folder, open_pool(), "garments", ("train",), first_step=0, evaluates_first=False
    )
    with open_run as report:
        settings = stored_config.to_dict(config)
        report.start(settings, stored_config.compared(config), stored_config.group(config))
        if accuracy is not None:
            report.end(10, {"test_accuracy": accuracy})


def test_seeds_are_averaged_and_other_settings_are_not(tmp_path: Path) -> None:
    """A seed that has failed does not count."""
    other = Config(seed=1)
    other.optimizer.learning_rate = 3e-3
    elsewhere = Config(seed=2)
    elsewhere.data.idx_dir = "/elsewhere"
    write_run(tmp_path / "a", Config(seed=0), 0.5)
    write_run(tmp_path / "b", elsewhere, 0.8)
    write_run(tmp_path / "c", Config(seed=3), None)
    write_run(tmp_path / "d", other, 0.9)
    one, three = sorted(session_groups(tmp_path), key=lambda group: len(group.sessions))
    assert len(three.sessions) == 3
    assert figures(three)["final/test_accuracy"] == pytest.approx(0.65)
    assert figures(one)["final/test_accuracy"] == pytest.approx(0.9)
    assert one.hparams["optimizer.learning_rate"].number_value == 3e-3
    assert not {"seed", "seeds"} & {*three.hparams}  # it would be that of one of them
    assert three.name.startswith("lstm ")


def test_a_group_is_of_what_an_own_cell_is_not_of_where(tmp_path: Path) -> None:
    def group(path: str, sha256: str) -> str:
        config = Config()
        config.model.cell, config.model.cell_sha256 = path, sha256
        return stored_config.group(config)

    first = group("/home/me/cells.py:Leaky", "ab" * 32)
    assert first.startswith("Leaky ")
    assert group("/elsewhere/mine.py:Leaky", "ab" * 32) == first
    assert group("/home/me/cells.py:Other", "ab" * 32) != first
    assert group("/home/me/cells.py:Leaky", "cd" * 32) != first


def test_a_group_is_of_values_not_of_how_they_are_written() -> None:
    whole = Config()
    whole.optimizer.clip_norm = 1
    assert stored_config.group(whole) != stored_config.group(Config())
    whole_again = dataclasses.replace(whole, seed=7, seeds=3)
    whole_again.optimizer = dataclasses.replace(whole.optimizer, clip_norm=1.0)
    assert stored_config.group(whole_again) == stored_config.group(whole)
