"""Whole runs, in this process and as commands: result, resume, TensorBoard files, NaN."""

import gc
import gzip
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorflow as tf

from rnnjax.config import Config
from rnnjax.errors import ConfigError, NonFiniteError
from rnnjax.runs import workdir
from rnnjax.runs.checkpoint import Progress, read, read_metadata, write
from rnnjax.runs.result import read as read_result
from rnnjax.runs.steps import steps_in
from rnnjax.training.task import build_task
from rnnjax.training.train import train

TAGS = {  # the TensorFlow 1 tutorial's, and rnnjax's own
    "train": {"loss", "accuracy", "parameters/readout/kernel", "last_hidden_state"}
    | {"learning_rate", "steps_per_second", "gradient_norm", "epoch"}
    | {"parameters/layer_0/kernel/forget", "gradients/layer_0/bias/input"}
    | {"gates_closed/layer_0/output", "gates_open", "carry_gradient", "final/test_loss"}
    | {"carry_gradient/layer_0/first_step", "model", "settings", "custom_scalars__config__"},
    "test": {"loss", "accuracy", "last_hidden_state", "confusion", "worst_mistakes"}
    | {"belief/0", "class_accuracy/Bag", "Bag/pr_curves"},
}


def small(seed: int = 0, steps: int = 12) -> Config:
    """A quick run on drawn garments."""
    config = Config(num_steps=steps, log_every_steps=2, eval_every_steps=4, seed=seed)
    config.data.name = "garments"
    config.model.hidden_size = 8
    config.model.output_keep_prob = 0.8
    config.checkpoint.every_steps = 5
    return config


def final_state(folder: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of the newest checkpoint, by path."""
    newest = folder.absolute() / "checkpoints" / str(steps_in(folder / "checkpoints")[-1])
    checkpointer = ocp.Checkpointer(ocp.StandardCheckpointHandler())
    state = checkpointer.restore(newest / "state", args=ocp.args.StandardRestore())
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def events(folder: Path) -> dict[str, list[tuple[int, tf.Tensor]]]:
    """Returns {tag: [(step, value), ...]} in the order they were written."""
    actual = defaultdict(list)
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                actual[value.tag].append((event.step, value))
    return actual


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
        config = small()
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


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit by bit: parameters, optimiser, sums; with dropout, from the middle of an epoch."""
    whole = train(small(), tmp_path / "whole")
    interrupted = small()
    interrupted.num_steps = 7  # not a multiple of anything
    train(interrupted, tmp_path / "parts")
    continued = train(small(), tmp_path / "parts")
    assert continued._replace(seconds=0) == whole._replace(seconds=0)
    assert str(events(tmp_path / "parts" / "train")["settings"]).count("num_steps | `12`") == 1
    expected, actual = final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    assert expected.keys() == actual.keys()
    for name, leaf in expected.items():
        if "metrics" not in name:  # the first part reported its sums at its end, step 7
            np.testing.assert_array_equal(actual[name], leaf, err_msg=name)


def test_an_evaluation_that_is_made_again_is_reported_once(tmp_path: Path) -> None:
    """A run goes on from a step whose evaluation is due, and has its accuracy in the checkpoint."""
    config = small(steps=8)
    config.data.validation_size = 500
    train(config, tmp_path)
    before = events(tmp_path / "validation")["accuracy"]
    # As after a stop in the evaluation: saved, but not evaluated.
    newest = tmp_path / "checkpoints" / "8"
    stored = read(newest, build_task(config).create_state())
    assert stored.progress.validation_accuracy is not None
    shutil.rmtree(newest)
    write(newest, 8, stored.state, Progress(), stored.origin)
    (tmp_path / "result.json").unlink()
    train(config, tmp_path)
    accuracy = read_metadata(newest).progress.validation_accuracy
    assert accuracy == stored.progress.validation_accuracy
    for split in ("train", "test", "validation"):
        for tag, values in events(tmp_path / split).items():
            steps = [step for step, _ in values]
            assert steps == sorted(set(steps)), f"{split}/{tag}: {steps}"
    after = events(tmp_path / "validation")["accuracy"]
    assert [*map(str, after)] == [*map(str, before)]


def test_more_steps_go_on_with_a_finished_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small()
    config.num_steps = 4
    first = train(config, tmp_path)
    assert train(config, tmp_path) == first
    assert "has finished already" in capsys.readouterr().out
    config.num_steps = 6
    assert train(config, tmp_path).steps == 6
    assert "step 5 was done" in capsys.readouterr().out


def test_fewer_steps_than_there_are(tmp_path: Path) -> None:
    config = small()
    config.num_steps = 4
    train(config, tmp_path)
    (tmp_path / "result.json").unlink()
    config.num_steps = 2
    with pytest.raises(ConfigError, match=r"config\.num_steps=2, but .* has 4 steps already"):
        train(config, tmp_path)


def test_another_model_does_not_go_on_with_a_run(tmp_path: Path) -> None:
    config = small()
    config.num_steps = 2
    train(config, tmp_path)
    before = (tmp_path / "config.json").read_text()
    other = small()
    other.model.hidden_size = 16
    with pytest.raises(ConfigError, match=r"config\.model\.hidden_size was 8 and is now 16"):
        train(other, tmp_path)
    assert (tmp_path / "config.json").read_text() == before


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
