"""All that a report tells of a run: a checkpoint of it on the test images, and its curves."""

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from rnnjax import stored_config
from rnnjax.data.datasets import Dataset, Split
from rnnjax.errors import ConfigError
from rnnjax.reporting.page.curves import read_curves
from rnnjax.reporting.page.run_figures import (
    Calibration,
    ClassTable,
    Inside,
    Mistake,
    RunFigures,
    Trajectories,
)
from rnnjax.runs import workdir
from rnnjax.runs.checkpoint import read_metadata
from rnnjax.seeds import seeds_of
from rnnjax.system.files import local_path
from rnnjax.training import predictions
from rnnjax.training.diagnostics import classify_prefixes, diagnose
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.insight import NUM_WORST, diagnosed_batch
from rnnjax.training.predictions import Predictions
from rnnjax.training.trained import Trained, find_seed, read_trained

PREFIX_STEPS = 28_000  # of the sequences whose accuracy by part is told: 1,000 images in rows
FEWEST_IMAGES = 200  # of these, in longer sequences, which take more time
MOST_TRAJECTORIES = 10  # classes whose ways can be told apart
IMAGES_AT_ONCE = 50  # each of which is as many sequences as it has parts


def read_runs(
    folders: Sequence[Path], step: int | None = None, seed: int | None = None
) -> list[Trained]:
    """Reads the checkpoints of runs that go into one report.

    Args:
      folders: of the runs.
      step: of each checkpoint; None: the newest.
      seed: of each run; None: all that it has, one after the other.

    Raises:
      ConfigError: if a folder is none of a run, a run is there twice, or their data sets differ.
      RunError: if a checkpoint is damaged.
    """
    folders = [local_path("RUN", folder) for folder in folders]
    folder_of: dict[str, Path] = {}
    datasets: dict[str, Path] = {}
    seeds_of_each = []
    for folder in folders:  # all of them before the seconds that a checkpoint needs
        with workdir.os_error_as_run_error(folder):
            config = workdir.read_config(folder)
            identity = workdir.identity(folder)
        if identity in folder_of:
            raise ConfigError(
                f"{folder_of[identity]} and {folder} are the same run; name each once"
            )
        find_seed(config, folder, seed)
        seeds_of_each.append(seeds_of(config))
        folder_of[identity] = datasets[config.data.name] = folder
    if len(datasets) > 1:
        trained_on = " and ".join(f"{folder} on {name}" for name, folder in datasets.items())
        raise ConfigError(f"the data sets differ, {trained_on}; make a report of each")
    return [
        read_trained(folder, step, one)
        for folder, seeds in zip(folders, seeds_of_each, strict=True)
        for one in (seeds if seed is None else [seed])
    ]


def gather(trained: Trained, name: str, dataset: Dataset) -> RunFigures:
    """Returns the figures of a run.

    Args:
      trained: its model.
      name: how it is called.
      dataset: that it was trained on.

    Raises:
      RunError: if something that a run has written is damaged.
    """
    test = dataset.test
    evaluation = evaluate_trained(trained, test)
    of_test = evaluation.predictions
    stored = trained.workdir / workdir.CHECKPOINTS / str(trained.step)
    metadata = read_metadata(stored)
    curves = read_curves(trained.summaries)
    logits, last_hidden = _prefixes(trained, test)
    by_part = logits.argmax(-1) == test.labels[: len(logits), None]
    return RunFigures(
        name=name,
        dataset=dataset.name,
        settings=stored_config.to_dict(trained.config),
        step=trained.step,
        seconds=metadata.progress.seconds,
        numerics=metadata.origin.numerics,
        num_parameters=sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
        accuracy=evaluation.accuracy,
        loss=evaluation.loss,
        curves=curves.by_split,
        unreadable=curves.unreadable,
        classes=_class_table(of_test, dataset.class_names),
        calibration=Calibration(
            predictions.calibration_error(of_test), *predictions.reliability(of_test)
        ),
        mistakes=_mistakes(of_test, test, dataset.class_names),
        accuracy_by_part=by_part.mean(0),
        num_part_images=len(by_part),
        trajectories=_trajectories(last_hidden, test, dataset.class_names),
        inside=_inside(trained, dataset.train),
    )


def project(
    states: Float[np.ndarray, "M R H"],
) -> tuple[Float[np.ndarray, "M R 2"], Float[np.ndarray, " 2"]]:
    """Returns states in their two main directions, and the share of the variance of each (PCA)."""
    flat = states.reshape(-1, states.shape[-1]).astype(np.float64)
    centred = flat - flat.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    # Signs are arbitrary; these make the largest part of each direction positive.
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    points = centred @ (directions * np.sign(largest + (largest == 0))).T[:, :2]
    shares = values**2 / max((values**2).sum(), np.finfo(float).tiny)
    # A hidden state of one unit has one direction only.
    missing = 2 - points.shape[1]
    points = np.pad(points, ((0, 0), (0, missing))).reshape(*states.shape[:2], 2)
    return points, np.pad(shares[:2], (0, missing))


def _prefixes(
    trained: Trained, test: Split
) -> tuple[Float[np.ndarray, "M R K"], Float[np.ndarray, "M R H"]]:
    """Returns logits and hidden states of a model after parts of the first test images."""
    task = trained.task
    options = {"model": task.model, "to_sequences": task.to_sequences}
    function = jax.jit(functools.partial(classify_prefixes, **options))
    shape = jax.eval_shape(task.to_sequences, test.images[:1]).shape
    number = max(FEWEST_IMAGES, PREFIX_STEPS // shape[1]) // IMAGES_AT_ONCE * IMAGES_AT_ONCE
    batches = [
        jax.device_get(function(trained.params, test.images[start : start + IMAGES_AT_ONCE]))
        for start in range(0, min(number, len(test.labels)), IMAGES_AT_ONCE)
    ]
    logits, last_hidden = zip(*batches, strict=True)
    return np.concatenate(logits), np.concatenate(last_hidden)


def _class_table(of_test: Predictions, names: tuple[str, ...]) -> ClassTable:
    of = predictions.class_figures(of_test)
    table = predictions.confusion(of_test)
    return ClassTable(names, of.precision, of.recall, of.f1, of.num_images, table)


def _mistakes(of_test: Predictions, test: Split, names: tuple[str, ...]) -> list[Mistake]:
    probabilities = of_test.probabilities.max(1)
    return [
        Mistake(
            test.images[n],
            names[of_test.labels[n]],
            names[of_test.guesses[n]],
            float(probabilities[n]),
        )
        for n in predictions.worst(of_test, NUM_WORST)
    ]


def _trajectories(
    states: Float[np.ndarray, "M R H"], test: Split, names: tuple[str, ...]
) -> Trajectories:
    """Returns the ways of the hidden states of the first image of each class, or of some."""
    classes, first = np.unique(test.labels[: len(states)], return_index=True)
    classes, first = classes[:MOST_TRAJECTORIES], first[:MOST_TRAJECTORIES]
    return Trajectories(*project(states[first]), [names[k] for k in classes])


def _inside(trained: Trained, train: Split) -> Inside:
    """Looks at the same training images as the training does for TensorBoard."""
    options = {"model": trained.task.model, "to_sequences": trained.task.to_sequences}
    batch = diagnosed_batch(trained.task, train)
    diagnosis = jax.jit(functools.partial(diagnose, **options))(trained.params, batch)
    closed, opened, norms, _ = jax.device_get(diagnosis)
    return Inside(closed, opened, norms)
