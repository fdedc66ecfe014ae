"""What a run leaves, but for times, and how that of two runs differs: nothing may."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorflow as tf

from rnnjax.runs import manifest
from rnnjax.runs.steps import steps_in
from rnnjax.seeds import FOLDER

ITS_OWN = {"steps_per_second", "final/seconds", "command"}  # of each process and workdir
SPLITS = ("train", "test", "validation")


class Outcome(NamedTuple):
    arrays: dict[str, np.ndarray]  # parameters, optimiser, sums, step of the newest checkpoint
    result: dict[str, Any]
    summaries: dict[str, list[tuple[int, str, str]]]  # by folder: (step, tag, digest)
    best: tuple[float, int]  # of all checkpoints: validation accuracy, step


def outcome(workdir: Path) -> Outcome:
    """Reads what a finished run has left, and checks it for itself."""
    result = json.loads((workdir / "result.json").read_text())
    checkpoints = workdir / "checkpoints"
    steps = steps_in(checkpoints)
    for step in steps:
        damage = manifest.damage(checkpoints / str(step))
        assert damage is None, f"checkpoint {step}: {damage}"
    for own in ("seconds", "run", "sha256"):
        del result[own]
    return Outcome(
        arrays=arrays(checkpoints / str(steps[-1])),
        result=result,
        summaries={
            str((parent / split).relative_to(workdir)): summaries(parent / split)
            for parent in [*workdir.glob(f"{FOLDER}*")] or [workdir]
            for split in SPLITS
        },
        best=max((accuracy(checkpoints / str(step)), step) for step in steps),
    )


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    checkpointer = ocp.Checkpointer(ocp.StandardCheckpointHandler())
    path = checkpoint.absolute() / "state"
    state = checkpointer.restore(path, args=ocp.args.StandardRestore())
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def accuracy(checkpoint: Path) -> float:
    progress = json.loads((checkpoint / "run.json").read_text())["progress"]
    return progress["validation_accuracy"] or 0.0


def events(folder: Path) -> list[tuple[int, str, bytes]]:
    """Returns (step, tag, value) of all summaries, in the order in which TensorBoard reads them."""
    actual = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                actual.append((event.step, value.tag, value.tensor.SerializeToString()))
    return actual


def summaries(folder: Path) -> list[tuple[int, str, str]]:
    """Returns all that the events show, by step, after a check that it increases for every tag."""
    last: dict[str, int] = {}
    actual = []
    for step, tag, value in events(folder):
        assert step > last.get(tag, -1), f"{folder.name}: {tag} of {step} after {last[tag]}"
        last[tag] = step
        same = b"" if tag in ITS_OWN else value
        actual.append((step, tag, hashlib.sha256(same).hexdigest()))
    assert actual, f"{folder} has no events"
    return sorted(actual)


def check_equal(workdir: Path, expected: Outcome) -> None:
    """Raises an AssertionError that names what a finished run has other than another had."""
    actual = outcome(workdir)
    assert actual.arrays.keys() == expected.arrays.keys(), "other arrays"
    for name, array in expected.arrays.items():
        same = array.dtype == actual.arrays[name].dtype
        same = same and array.tobytes() == actual.arrays[name].tobytes()
        assert same, f"{name} differs"
    assert actual.result == expected.result, f"{actual.result} instead of {expected.result}"
    assert actual.summaries.keys() == expected.summaries.keys(), "other folders of summaries"
    for name, theirs in expected.summaries.items():
        ours = actual.summaries[name]
        differing = [a for a, b in zip(ours, theirs, strict=False) if a != b]
        assert ours == theirs, f"{name}: {len(ours)} events, not {len(theirs)}, or {differing[:1]}"
    assert actual.best == expected.best, f"best {actual.best} instead of {expected.best}"


def contents(folder: Path) -> dict[str, bytes]:
    """Returns all files below a folder, to see whether something has changed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_same_contents(folder: Path, before: dict[str, bytes]) -> None:
    after = contents(folder)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert not changed, f"changed in {folder}: {', '.join(sorted(changed))}"
