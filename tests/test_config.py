"""Settings: every one is read by something, and wrong ones are told in one line."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from rnnjax import config as settings
from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.errors import ConfigError, did_you_mean
from rnnjax.runs.workdir import check_same_run, unresumable_changes
from rnnjax.system.files import write_json
from rnnjax.training.train import train
from rnnjax.validation import validate

SECTIONS = {"data", "augmentation", "model", "optimizer", "parallel", "checkpoint"}


def recorded(kind: type, prefix: str, reads: set[str]) -> Any:
    """Returns default settings that note which of their fields rnnjax's own modules read."""

    def read(self: Any, name: str) -> Any:
        frame = inspect.currentframe()
        caller = frame.f_back.f_globals.get("__name__", "") if frame and frame.f_back else ""
        # config.py itself reads all of them, to check and to store them.
        if caller.startswith("rnnjax.") and caller != "rnnjax.config":
            reads.add(prefix + name)
        return object.__getattribute__(self, name)

    recording = type(kind.__name__, (kind,), {"__slots__": (), "__getattribute__": read})
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in SECTIONS:
            default: Any = field.default_factory
            values[field.name] = recorded(default, f"{prefix}{field.name}.", reads)
    return recording(**values)


def test_every_field_is_read(tmp_path: Path, data_dir: str) -> None:
    """One small run over real data, with every feature that can be switched on switched on."""
    reads: set[str] = set()
    config = recorded(Config, "", reads)
    config.num_steps, config.eval_batch_size = 2, 2_000
    config.data.data_dir = data_dir
    config.model.hidden_size = 4
    config.on_nan = "skip"
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 1
    config.optimizer.clip_norm = 1.0
    config.optimizer.weight_decay = 0.1
    config.optimizer.average_decay = 0.9
    config.augmentation.max_shift, config.augmentation.flip_prob = 2, 0.5
    config.augmentation.erase_prob = 0.5
    reads.clear()
    train(config, tmp_path)
    names = {name for name, _, _ in settings.fields(Config())}
    assert names <= reads, f"nothing reads {sorted(names - reads)}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_steps", 0, "config.num_steps=0 is out of range: must be at least 1"),
        ("seed", -1, "config.seed=-1 is out of range"),
        ("profile_steps", "20-10", "'20-10' must be FIRST-LAST, of the steps 1 to 2000"),
        ("profile_steps", "0-10", "config.profile_steps='0-10' must be"),
        ("profile_steps", "10-2001", "config.profile_steps='10-2001' must be"),
        ("profile_steps", "10", "config.profile_steps='10' must be"),
        ("profile_steps", "٣-٤", "must be FIRST-LAST"),
        ("batch_size", 1.5, "config.batch_size must be of type int, got 1.5"),
        ("batch_size", True, "config.batch_size must be of type int, got True"),
        ("model.hidden_size", 0, "config.model.hidden_size=0"),
        ("model.input_keep_prob", 0.0, "must be above 0 and at most 1"),
        ("model.state_keep_prob", 1.5, "config.model.state_keep_prob=1.5"),
        ("model.readout_bias", float("nan"), "config.model.readout_bias=nan is out of range"),
        ("data.name", "../mnist", "is no name of a data set"),
        ("data.name", "huggingface:mnist", "is no name of a data set"),
        ("data.sequence", "diagonals", "known are: columns, permuted_pixels, pixels, rows"),
        ("optimizer.learning_rate", float("inf"), "config.optimizer.learning_rate=inf"),
        ("optimizer.beta1", 1.0, "below 1"),
        ("optimizer.average_decay", 1.0, "must be at least 0 and below 1"),
        ("augmentation.max_shift", -1, "must be at least 0"),
        ("augmentation.flip_prob", 1.5, "config.augmentation.flip_prob=1.5 is out of range"),
        ("augmentation.erase_area", 0.01, "must be at least 0.02 and at most 1"),
        ("model.readout", "mena", "did you mean 'mean'"),
        ("num_microbatches", 0, "config.num_microbatches=0"),
        ("optimizer.warmup_steps", 2_001, "is more than config.num_steps=2000"),
        ("checkpoint.keep", 0, "config.checkpoint.keep=0"),
        (
            "steps_per_dispatch",
            3,
            "config.num_steps=2000 is not divisible by config.steps_per_dispatch=3",
        ),
        (
            "steps_per_dispatch",
            40,
            "config.log_every_steps=20 is not divisible by config.steps_per_dispatch=40",
        ),
    ],
)
def test_validate_names_the_wrong_value(name: str, value: Any, message: str) -> None:
    config = Config()
    *section, field = name.split(".")
    setattr(getattr(config, section[0]) if section else config, field, value)
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate(config)


def test_validate_takes_the_defaults_and_whole_numbers_for_floats() -> None:
    config = Config()
    config.model.readout_bias = 0
    validate(config)


def test_validate_refuses_other_objects() -> None:
    with pytest.raises(ConfigError, match="must return a rnnjax"):
        validate({"seed": 0})


def test_a_misspelt_field_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Config().model.hiden_size = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_saved_settings_tell_what_changed(tmp_path: Path) -> None:
    config = Config()
    config.model.cell_options = ConfigDict({"use_peepholes": True, "kernel_shape": (3, 2)})
    write_json(tmp_path / "config.json", stored_config.to_dict(config))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model.cell_options"] == {"use_peepholes": True, "kernel_shape": [3, 2]}
    assert unresumable_changes(config, stored) == []
    config.num_steps, config.log_every_steps = 9, 7
    assert unresumable_changes(config, stored) == []
    config.model.hidden_size = 8
    changed = ["config.model.hidden_size was 256 and is now 8"]
    assert unresumable_changes(config, stored) == changed


def test_the_end_of_a_schedule_cannot_change_on_resume() -> None:
    config = Config()
    config.optimizer.schedule = "cosine"
    stored = stored_config.to_dict(config)
    config.num_steps = 3_000
    changed = ["config.num_steps was 2000 and is now 3000"]
    assert unresumable_changes(config, stored) == changed


def test_a_damaged_settings_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    for content in ("", "{", "[]"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ConfigError, match=r"config\.json is damaged"):
            check_same_run(Config(), tmp_path, dict)


def test_checkpoints_without_settings_are_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no config\.json"):
        check_same_run(Config(), tmp_path, dict)


def test_did_you_mean_lists_all_when_nothing_is_close() -> None:
    assert did_you_mean("xyz", ["lstm", "gru"]) == "known are: gru, lstm"
