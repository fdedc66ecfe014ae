"""What a model says of labelled images, and the figures that follow from it, on the host."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

CALIBRATION_BINS = 15  # as in Guo et al., 2017
PR_THRESHOLDS = 127  # TensorBoard's own number


class Predictions(NamedTuple):
    """Of the images of a split, in its order."""

    probabilities: Float[np.ndarray, "N K"]  # of the classes
    labels: Int[np.ndarray, " N"]

    @property
    def guesses(self) -> Int[np.ndarray, " N"]:
        """The class of the highest probability, the first of several."""
        return self.probabilities.argmax(1)


class ClassFigures(NamedTuple):
    """Of each class K, in [0, 1]; 0 where there is nothing to divide by."""

    precision: Float[np.ndarray, " K"]  # share of its guesses that are right
    recall: Float[np.ndarray, " K"]  # share of its images that are guessed: its accuracy
    num_images: Int[np.ndarray, " K"]

    @property
    def f1(self) -> Float[np.ndarray, " K"]:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * self.precision * self.recall, self.precision + self.recall)


class Reliability(NamedTuple):
    """Of the images in each of `CALIBRATION_BINS` bins of the probability of their guess."""

    confidence: Float[np.ndarray, " C"]  # mean probability of the guess, in [0, 1]; 0 without any
    accuracy: Float[np.ndarray, " C"]  # share of right guesses, in [0, 1]; 0 without any
    num_images: Int[np.ndarray, " C"]


class PRCurves(NamedTuple):
    """Of each class against all others, at `PR_THRESHOLDS` probabilities from 0 to 1."""

    true_positives: Int[np.ndarray, "K P"]  # of its images, those at least so probable
    false_positives: Int[np.ndarray, "K P"]  # the same of all other images
    true_negatives: Int[np.ndarray, "K P"]
    false_negatives: Int[np.ndarray, "K P"]
    precision: Float[np.ndarray, "K P"]
    recall: Float[np.ndarray, "K P"]


def confusion(predictions: Predictions) -> Int[np.ndarray, "K K"]:
    """Returns how many images of each class (row) were taken for each class (column)."""
    num_classes = predictions.probabilities.shape[1]
    cells = predictions.labels * num_classes + predictions.guesses
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_figures(predictions: Predictions) -> ClassFigures:
    """Returns the figures of each class."""
    table = confusion(predictions)
    right, num_images = table.diagonal(), table.sum(1)
    return ClassFigures(_ratio(right, table.sum(0)), _ratio(right, num_images), num_images)


def reliability(predictions: Predictions) -> Reliability:
    """Returns how often guesses are right, by how probable they are said to be."""
    confidence = np.nan_to_num(predictions.probabilities).max(1).astype(np.float64)
    right = predictions.guesses == predictions.labels
    # A bin is closed above, (0, 1/15], as the papers have it.
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    num_images = np.bincount(bins, minlength=CALIBRATION_BINS)
    return Reliability(
        _ratio(np.bincount(bins, confidence, CALIBRATION_BINS), num_images),
        _ratio(np.bincount(bins, right, CALIBRATION_BINS), num_images),
        num_images,
    )


def calibration_error(predictions: Predictions) -> float:
    """Returns the expected calibration error, in [0, 1]: how far confidence is from accuracy.

    Images are binned by the probability of their guess; each bin counts as it has images
    (Naeini et al., 2015; Guo et al., 2017).
    """
    confidence, accuracy, num_images = reliability(predictions)
    gaps = np.abs(accuracy - confidence) * num_images
    return float(gaps.sum() / max(num_images.sum(), 1))


def pr_curves(predictions: Predictions) -> PRCurves:
    """Returns precision and recall of each class, as TensorBoard shows them."""
    is_class = np.eye(predictions.probabilities.shape[1], dtype=bool)[predictions.labels]
    # An image counts as positive at all thresholds up to its probability.
    probabilities = np.nan_to_num(predictions.probabilities)
    places = np.floor(probabilities * (PR_THRESHOLDS - 1)).astype(int)
    places = np.clip(places, 0, PR_THRESHOLDS - 1)
    positives = _at_least(places, is_class)
    negatives = _at_least(places, ~is_class)
    return PRCurves(
        positives,
        negatives,
        negatives[:, :1] - negatives,
        positives[:, :1] - positives,
        _ratio(positives, positives + negatives),
        _ratio(positives, positives[:, :1]),
    )


def worst(predictions: Predictions, number: int) -> Int[np.ndarray, " M"]:
    """Returns which images were mistaken with the highest probability, the worst first."""
    (wrong,) = np.nonzero(predictions.guesses != predictions.labels)
    order = np.argsort(-predictions.probabilities[wrong].max(1), kind="stable")
    return wrong[order[:number]]


def summarize(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the figures as JSON has them."""
    precision, recall, num_images = class_figures(predictions)
    return {
        "calibration_error": calibration_error(predictions),
        "classes": {
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "num_images": int(num_images[k]),
            }
            for k, name in enumerate(class_names)
        },
        "confusion": confusion(predictions).tolist(),
    }


def table(figures: Mapping[str, Any]) -> str:
    """Returns what `summarize` has returned in lines for a terminal."""
    width = max(map(len, figures["classes"]))
    lines = [f"{'':{width}}  precision  recall  images"]
    lines += [
        f"{name:{width}}  {of['precision']:9.4f}  {of['recall']:6.4f}  {of['num_images']:6d}"
        for name, of in figures["classes"].items()
    ]
    calibration = (
        f"calibration error {figures['calibration_error']:.4f} (mean gap between probability "
        "and share of right guesses; 0 is best)"
    )
    return "\n".join((*lines, calibration))


def _at_least(places: Int[np.ndarray, "N K"], counts: np.ndarray) -> Int[np.ndarray, "K P"]:
    """Returns by class and threshold how many of the images that count reach it."""
    histograms = [
        np.bincount(column[counted], minlength=PR_THRESHOLDS)
        for column, counted in zip(places.T, counts.T, strict=True)
    ]
    return np.cumsum(np.stack(histograms)[:, ::-1], axis=1)[:, ::-1]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
