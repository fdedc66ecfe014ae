"""Figures of predictions, against scikit-learn's on the same ones."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from rnnjax.training.predictions import (
    PR_THRESHOLDS,
    Predictions,
    calibration_error,
    class_figures,
    confusion,
    pr_curves,
    reliability,
    worst,
)


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Those of a model that is right more often than not, of classes of unlike sizes."""
    random = np.random.default_rng(0)
    labels = random.choice(5, 3_000, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    scores = random.normal(size=(3_000, 5)) + 1.5 * np.eye(5)[labels]
    exponentials = np.exp(scores)
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    return Predictions(probabilities.astype(np.float32), labels)


def test_confusion_and_class_figures(predictions: Predictions) -> None:
    labels, guesses = predictions.labels, predictions.guesses
    np.testing.assert_array_equal(confusion(predictions), metrics.confusion_matrix(labels, guesses))
    actual = class_figures(predictions)
    precision, recall, f1, num_images = metrics.precision_recall_fscore_support(labels, guesses)
    np.testing.assert_allclose(actual.precision, precision)
    np.testing.assert_allclose(actual.recall, recall)
    np.testing.assert_allclose(actual.f1, f1)
    np.testing.assert_array_equal(actual.num_images, num_images)


def test_a_class_that_is_never_guessed_or_absent() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1]], np.float32)
    actual = class_figures(Predictions(probabilities, np.array([0, 1])))
    np.testing.assert_array_equal(actual.precision, [0.5, 0, 0])
    np.testing.assert_array_equal(actual.recall, [1, 0, 0])


def test_pr_curves(predictions: Predictions) -> None:
    actual = pr_curves(predictions)
    thresholds = np.linspace(0, 1, PR_THRESHOLDS)
    for k in range(5):
        is_class, probability = predictions.labels == k, predictions.probabilities[:, k]
        for n in (0, 1, 30, 63, 100, 125, 126):
            guessed = probability >= thresholds[n]
            negative, positive = metrics.confusion_matrix(is_class, guessed, labels=[False, True])
            assert [*negative] == [actual.true_negatives[k, n], actual.false_positives[k, n]]
            assert [*positive] == [actual.false_negatives[k, n], actual.true_positives[k, n]]
            expected = metrics.precision_score(is_class, guessed) if guessed.any() else 0
            np.testing.assert_allclose(actual.precision[k, n], expected)
            np.testing.assert_allclose(actual.recall[k, n], metrics.recall_score(is_class, guessed))


def test_calibration_error(predictions: Predictions) -> None:
    """Against the definition, bin by bin: scikit-learn has curves, but no error."""
    confidence = predictions.probabilities.max(1).astype(np.float64)
    right = predictions.guesses == predictions.labels
    expected = 0.0
    for n in range(15):
        inside = (confidence > n / 15) & (confidence <= (n + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(predictions) == pytest.approx(expected, abs=1e-12)
    certain = Predictions(np.eye(5, dtype=np.float32)[predictions.labels], predictions.labels)
    assert calibration_error(certain) == 0


def test_reliability(predictions: Predictions) -> None:
    right = predictions.guesses == predictions.labels
    confidence = predictions.probabilities.max(1)
    accuracy, mean = calibration_curve(right, confidence, n_bins=15)
    actual = reliability(predictions)
    filled = actual.num_images > 0
    np.testing.assert_allclose(actual.accuracy[filled], accuracy)
    np.testing.assert_allclose(actual.confidence[filled], mean, rtol=1e-6)
    assert actual.num_images.sum() == len(right)


def test_the_worst_mistakes_come_first(predictions: Predictions) -> None:
    actual = worst(predictions, 20)
    assert len(actual) == len({*actual}) == 20
    assert (predictions.guesses[actual] != predictions.labels[actual]).all()
    confidence = predictions.probabilities.max(1)
    assert (np.diff(confidence[actual]) <= 0).all()
    others = np.setdiff1d(np.nonzero(predictions.guesses != predictions.labels)[0], actual)
    assert confidence[others].max() <= confidence[actual].min()
    assert len(worst(Predictions(np.eye(3, dtype=np.float32), np.arange(3)), 5)) == 0
