"""What a page tells of a run, as plain figures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from rnnjax import stored_config


class Curve(NamedTuple):
    """A scalar over the training steps."""

    steps: Int[np.ndarray, " N"]  # increasing
    values: Float[np.ndarray, " N"]


class Band(NamedTuple):
    """A scalar over the training steps, of several seeds."""

    steps: Int[np.ndarray, " N"]  # increasing
    mean: Float[np.ndarray, " N"]
    sd: Float[np.ndarray, " N"]  # 0 of one seed


class ClassTable(NamedTuple):
    """Of each class K, in [0, 1]."""

    names: Sequence[str]
    precision: Float[np.ndarray, " K"]
    recall: Float[np.ndarray, " K"]
    f1: Float[np.ndarray, " K"]
    num_images: Int[np.ndarray, " K"]
    confusion: Int[np.ndarray, "K K"]  # images of each class (row) by what they were taken for


class Calibration(NamedTuple):
    """Of images binned by the probability of their guess, each bin as wide as the others."""

    error: float  # the expected calibration error, in [0, 1]
    confidence: Float[np.ndarray, " C"]  # mean probability of the guess
    accuracy: Float[np.ndarray, " C"]
    num_images: Int[np.ndarray, " C"]


class Mistake(NamedTuple):
    image: UInt8[np.ndarray, "28 28"]
    truth: str
    guess: str
    probability: float  # of the guess


class Trajectories(NamedTuple):
    """The hidden states after each of R parts of M images, in their two main directions."""

    points: Float[np.ndarray, "M R 2"]
    explained: Float[np.ndarray, " 2"]  # share of the variance that each direction has
    class_names: Sequence[str]  # of the images


class Inside(NamedTuple):
    """What a look inside has shown, by layer and over the T steps of a sequence."""

    closed: Mapping[str, Mapping[str, Float[np.ndarray, " T"]]]  # by gate: share that is closed
    open: Mapping[str, Mapping[str, Float[np.ndarray, " T"]]]
    gradient_norms: Mapping[str, Float[np.ndarray, " T"]]  # of the loss by the carry


class RunFigures(NamedTuple):
    name: str
    dataset: str
    settings: Mapping[str, Any]  # by dotted name
    step: int  # taken before the checkpoint that all figures but the curves are of
    seconds: float  # spent up to there
    numerics: Mapping[str, str]  # devices and versions of the training
    num_parameters: int
    accuracy: float  # on all test images
    loss: float
    curves: Mapping[str, Mapping[str, Curve]]  # by split and tag
    unreadable: Sequence[str]  # what could not be read of the curves, a line each
    classes: ClassTable
    calibration: Calibration
    mistakes: Sequence[Mistake]  # the worst first
    accuracy_by_part: Float[np.ndarray, " R"]  # had each sequence ended there
    num_part_images: int  # test images behind it
    trajectories: Trajectories
    inside: Inside

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.settings["num_steps"]

    @property
    def milliseconds(self) -> float | None:
        """The median time of a training step; None where nothing tells it."""
        speeds = self.curves.get("train", {}).get("steps_per_second")
        return None if speeds is None else float(1000 / np.median(speeds.values))

    @property
    def model(self) -> str:
        """What was trained, in a phrase."""
        setting = self.settings.__getitem__
        layers = f"{setting('model.num_layers')} layers of " * (setting("model.num_layers") != 1)
        ways = ", both ways" * bool(setting("model.bidirectional"))
        cell = stored_config.short(setting("model.cell"))
        return f"{cell}, {layers}{setting('model.hidden_size')} units{ways}"
