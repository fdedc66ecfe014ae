"""What a run has shown, against what its last checkpoint gives."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow as tf

from rnnjax.data import datasets
from rnnjax.data.batches import Batch
from rnnjax.reporting import figures
from rnnjax.training import predictions
from rnnjax.training.diagnostics import beliefs, diagnose
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.insight import NUM_BELIEFS, NUM_DIAGNOSED, NUM_WORST
from rnnjax.training.trained import read_trained

Shown = dict[str, np.ndarray]  # by tag


def shown(folder: Path, step: int) -> Shown:
    """Returns all that is in event files of a step."""
    values: Shown = {}
    for file in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.step == step:
                values |= {v.tag: tf.make_ndarray(v.tensor) for v in event.summary.value}
    return values


def picture(value: np.ndarray) -> np.ndarray:
    """Returns the one picture of a summary, whose size comes first."""
    (content,) = value[2:]
    return tf.io.decode_png(content).numpy()


@pytest.fixture(scope="module")
def looked(finished_run: Path) -> tuple[Shown, Shown]:
    return shown(finished_run / "train", 12), shown(finished_run / "test", 12)


def test_a_look_inside(finished_run: Path, looked: tuple[Shown, Shown]) -> None:
    trained = read_trained(finished_run)
    train = datasets.load(trained.config.data).train
    first = Batch(train.images[:NUM_DIAGNOSED], train.labels[:NUM_DIAGNOSED])
    options = {"model": trained.task.model, "to_sequences": trained.task.to_sequences}
    expected = jax.jit(functools.partial(diagnose, **options))(trained.params, first)
    actual, layer = looked[0], "layer_0"
    for name, shares in (("closed", expected.closed[layer]), ("open", expected.open[layer])):
        tags = {f"gates_{name}/{layer}/{gate}": x.mean() for gate, x in shares.items()}
        assert len(tags) == 3
        for tag, mean in tags.items():
            np.testing.assert_allclose(actual[tag], mean, atol=1e-6)
        stripes = np.stack([*map(np.asarray, shares.values())])
        names, title = [f"{layer}/{gate}" for gate in shares], f"share of a gate that is {name}"
        expected_picture = figures.over_time(stripes, names, title, logarithmic=False)
        np.testing.assert_array_equal(picture(actual[f"gates_{name}"]), expected_picture)
    norms = np.asarray(expected.gradient_norms[layer])
    for place, t in (("first", 0), ("middle", 14), ("last", 27)):
        np.testing.assert_allclose(
            actual[f"carry_gradient/{layer}/{place}_step"], norms[t], rtol=1e-5
        )


def test_classes_mistakes_and_beliefs(finished_run: Path, looked: tuple[Shown, Shown]) -> None:
    trained, actual = read_trained(finished_run), looked[1]
    dataset = datasets.load(trained.config.data)
    names, test = dataset.class_names, dataset.test
    of_test = evaluate_trained(trained, test).predictions
    for k, name in enumerate(names):
        is_class = test.labels == k
        recall = (of_test.guesses[is_class] == k).mean()
        np.testing.assert_allclose(actual[f"class_accuracy/{name}"], recall, rtol=1e-6)
    confusion = figures.confusion(predictions.confusion(of_test), names)
    np.testing.assert_array_equal(picture(actual["confusion"]), confusion)
    wrong = np.flatnonzero(of_test.guesses != test.labels)
    worst = wrong[np.argsort(-of_test.probabilities[wrong].max(1), kind="stable")][:NUM_WORST]
    captions = [
        (f"is {names[test.labels[n]]}", f"taken for {names[of_test.guesses[n]]}", f"{p:.0%}")
        for n, p in zip(worst, of_test.probabilities[worst].max(1), strict=True)
    ]
    grid = figures.grid(test.images[worst], captions)
    np.testing.assert_array_equal(picture(actual["worst_mistakes"]), grid)
    options = {"model": trained.task.model, "to_sequences": trained.task.to_sequences}
    believed = jax.jit(functools.partial(beliefs, **options))
    probabilities = np.asarray(believed(trained.params, test.images[:NUM_BELIEFS]))
    for n in range(NUM_BELIEFS):
        belief = figures.belief(test.images[n], probabilities[n], names)
        difference = picture(actual[f"belief/{n}"]).astype(int) - belief
        assert abs(difference).max() <= 1  # of colours, by the last bit of a probability
