"""Whole runs, in this process and as commands: result, TensorBoard files, NaN."""

import gc
import gzip
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow as tf

from rnnjax.errors import NonFiniteError
from rnnjax.runs import workdir
from rnnjax.runs.result import read as read_result
from rnnjax.training.train import train
from tests.training.runs import events, final_state, small, with_everything

TAGS = {  # the TensorFlow 1 tutorial's, and rnnjax's own
    "train": {"loss", "accuracy", "parameters/readout/kernel", "last_hidden_state"}
    | {"learning_rate", "steps_per_second", "gradient_norm", "epoch"}
    | {"parameters/layer_0/kernel/forget", "gradients/layer_0/bias/input"}
    | {"gates_closed/layer_0/output", "gates_open", "carry_gradient", "final/test_loss"}
    | {"carry_gradient/layer_0/first_step", "model", "settings", "custom_scalars__config__"},
    "test": {"loss", "accuracy", "last_hidden_state", "confusion", "worst_mistakes"}
    | {"belief/0", "class_accuracy/Bag", "Bag/pr_curves"},
}


def traced_steps(folder: Path) -> list[int]:
    """Returns the training steps in the one trace that Perfetto opens."""
    (file,) = folder.glob("*/perfetto_trace.json.gz")
    trace = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    return sorted(int(e["args"]["step_num"]) for e in trace if e.get("name") == "train")


def test_a_run_leaves_its_result_and_summaries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(seed=3)
    config.data.validation_size = 1_000
    config.profile_steps = "2-3"
    result = train(config, str(tmp_path))

    assert traced_steps(tmp_path / "train" / "plugins" / "profile") == [2, 3]
    assert read_result(tmp_path, workdir.identity(tmp_path)) == result
    assert (result.steps, result.dataset, result.seed) == (12, "garments", 3)
    assert json.loads((tmp_path / "config.json").read_text())["model.hidden_size"] == 8

    lines = capsys.readouterr().out.splitlines()
    assert sum("training accuracy" in line for line in lines) == 6
    assert sum("test accuracy" in line and "(garments)" in line for line in lines) == 3
    assert lines[-1].startswith(f"test accuracy {result.test_accuracy:.4f}")
    assert str(tmp_path) in lines[-1]

    for split, tags in TAGS.items():
        actual = events(tmp_path / split)
        assert tags <= actual.keys()
        for tag in tags:
            steps = [step for step, _ in actual[tag]]
            assert steps == sorted(set(steps))
        assert [step for step, _ in actual["loss"]] == (
            [2, 4, 6, 8, 10, 12] if split == "train" else [4, 8, 12]
        )
        assert [step for step, _ in actual["last_hidden_state"]] == [4, 8, 12]
        (last,) = [value for step, value in actual["accuracy"] if step == 12]
        if split == "test":
            assert tf.make_ndarray(last.tensor) == np.float32(result.test_accuracy)
    assert len(events(tmp_path / "validation")["accuracy"]) == 3
    train_events = events(tmp_path / "train")
    ((_, images),) = train_events["images/garments"]
    assert len(images.tensor.string_val) == 2 + 1  # width and height come first
    assert any(tag.startswith("_hparams_") for tag in train_events)
    assert "garments" in str(events(tmp_path / "test")["dataset"])


def test_where_the_images_are_and_how_steps_are_dispatched_changes_nothing(tmp_path: Path) -> None:
    results = {}
    for name, on_device, together in (("a", True, 1), ("b", False, 1), ("c", True, 4)):
        config = with_everything(small())
        config.checkpoint.every_steps = 4
        config.log_every_steps = 4
        config.data.on_device, config.steps_per_dispatch = on_device, together
        train(config, tmp_path / name)
        results[name] = final_state(tmp_path / name), events(tmp_path / name / "train")
    for state, actual in (results["b"], results["c"]):
        for path, leaf in results["a"][0].items():
            np.testing.assert_allclose(state[path], leaf, rtol=1e-5, atol=1e-6, err_msg=path)
        steps = [[step for step, _ in run["accuracy"]] for run in (actual, results["a"][1])]
        assert steps == [[4, 8, 12]] * 2
        # Also where the first dispatch ends with figures.
        assert all(tf.make_ndarray(speed.tensor) > 0 for _, speed in actual["steps_per_second"])


def test_float64_may_be_switched_on(tmp_path: Path, x64: None) -> None:
    """Counts would come out of a step wider than they went in."""
    config = small()
    config.num_steps = 4
    with jax.numpy_dtype_promotion("standard"):  # of CLU's accuracy, with labels of 32 bits
        assert train(config, tmp_path).steps == 4


def test_an_exploding_run_stops_without_a_checkpoint_of_it(tmp_path: Path) -> None:
    config = small()
    config.optimizer.learning_rate = 1e38
    config.checkpoint.every_steps = 1
    with pytest.raises(NonFiniteError, match=r"step [0-9]+"):
        train(config, tmp_path)
    saved = [path.name for path in (tmp_path / "checkpoints").glob("[0-9]*")]
    assert all(np.isfinite(leaf).all() for leaf in final_state(tmp_path).values() if saved)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.process
def test_a_nan_loss_is_flushed_and_exits_with_1(tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "-m", "rnnjax.main", f"--workdir={tmp_path / 'run'}"]
    command += ["--config=experiments/smoke.py", "--config.model.hidden_size=8"]
    command += ["--config.optimizer.learning_rate=1e38", "--config.log_every_steps=3"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "step 3" in done.stderr
    ((step, value),) = events(tmp_path / "run" / "train")["loss"]
    assert step == 3
    assert not np.isfinite(tf.make_ndarray(value.tensor))
    assert not list((tmp_path / "run" / "checkpoints").glob("[0-9]*"))


def test_a_process_keeps_no_program_of_a_run_that_is_over(tmp_path: Path) -> None:
    def programs_after_a_run(name: str) -> int:
        train(small(steps=4), tmp_path / name)
        gc.collect()
        return len(jax.devices()[0].client.live_executables())

    first = programs_after_a_run("first")
    assert programs_after_a_run("second") == first
