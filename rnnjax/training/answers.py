"""What a trained model says of single images: as text, as a picture, as JSON."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from rnnjax.data.datasets import Dataset, Split
from rnnjax.data.pictures import Picture
from rnnjax.data.sequences import PARTS, parts
from rnnjax.reporting import figures
from rnnjax.system.messages import printable
from rnnjax.training import diagnostics, predictions
from rnnjax.training.evaluation import evaluate_trained, predict_trained
from rnnjax.training.trained import Trained

LEAST = 0.01  # probability of a class that is printed; the likeliest is in any case
MOST_PRINTED = 3  # classes after a part of an image
SHADES = " .:-=+*#%@"  # from black to white
LONGEST_NAME = 24  # letters, in pictures


class Example(NamedTuple):
    name: str  # of its file, or which one of the test images it is
    note: str  # its class, or how it was read
    image: UInt8[np.ndarray, "Y X *C"]


class Belief(NamedTuple):
    """What a model believes after each of R parts of an image."""

    parts: UInt8[np.ndarray, "R X *C"]  # of the image, in the order in which the model reads them
    probabilities: Float[np.ndarray, "R K"]


class Answer(NamedTuple):
    """What a model says of an example."""

    example: Example
    probabilities: Float[np.ndarray, " K"]
    belief: Belief | None  # None: not asked for


def of_files(paths: Sequence[Path], pictures: Sequence[Picture]) -> list[Example]:
    """Returns what was read from files."""
    return [
        Example(printable(str(path)), note, image)
        for path, (image, note) in zip(paths, pictures, strict=True)
    ]


def of_test_split(dataset: Dataset, rows: Sequence[int] | Int[np.ndarray, " N"]) -> list[Example]:
    """Returns images of the test split."""
    images, labels = dataset.test
    return [
        Example(f"test image {row}", f"is {dataset.class_names[labels[row]]}", images[row])
        for row in rows
    ]


def worst_mistakes(trained: Trained, test: Split, number: int) -> Int[np.ndarray, " M"]:
    """Returns which test images are mistaken with the highest probability, the worst first."""
    return predictions.worst(evaluate_trained(trained, test).predictions, number)


def ask(trained: Trained, examples: Sequence[Example], *, with_beliefs: bool) -> list[Answer]:
    """Asks a model about images.

    Args:
      trained: the model.
      examples: one or more.
      with_beliefs: whether to ask after each part of them as well.
    """
    images = np.stack([example.image for example in examples])
    probabilities = predict_trained(trained, images)
    beliefs = _beliefs(trained, images) if with_beliefs else [None] * len(images)
    return [Answer(*of_one) for of_one in zip(examples, probabilities, beliefs, strict=True)]


def _beliefs(trained: Trained, images: UInt8[np.ndarray, "N Y X *C"]) -> list[Belief]:
    to_sequences = trained.task.to_sequences
    options = {"model": trained.task.model, "to_sequences": to_sequences}
    # Compiled for one image, which is many sequences already.
    beliefs_of = jax.jit(functools.partial(diagnostics.beliefs, **options))
    return [
        Belief(of_image, np.asarray(beliefs_of(trained.params, image[None]))[0])
        for of_image, image in zip(np.asarray(parts(images, to_sequences)), images, strict=True)
    ]


def text(answer: Answer, class_names: Sequence[str], sequence: str) -> str:
    """Returns lines for a terminal: the likely classes, and the belief if there is one.

    Args:
      answer: of the model.
      class_names: of its data set.
      sequence: `config.data.sequence`.
    """
    example, probabilities, belief = answer
    width = max(map(len, class_names))
    lines = [f"{example.name}  ({example.note})" if example.note else example.name]
    lines += [
        f"  {class_names[k]:{width}}  {probabilities[k]:7.2%}"
        for k in _by_probability(probabilities)
        if probabilities[k] >= min(LEAST, probabilities.max())
    ]
    if belief is not None:
        for n, (part, of_part) in enumerate(zip(*belief, strict=True), 1):
            grey = part.reshape(len(part), -1).mean(1).astype(int).tolist()
            shades = "".join(SHADES[value * len(SHADES) // 256] for value in grey)
            likely = _by_probability(of_part)[:MOST_PRINTED]
            classes = ", ".join(f"{class_names[k]} {of_part[k]:.0%}" for k in likely)
            lines.append(f"  {PARTS[sequence]} {n:2d} |{shades}| {classes}")
    return "\n".join(lines)


def picture(answers: Sequence[Answer], class_names: Sequence[str]) -> figures.Picture:
    """Returns the images side by side, or one below the other if there are beliefs."""
    captions = [_caption(answer, class_names) for answer in answers]
    beliefs = [
        figures.belief(*answer.belief, class_names, caption)
        for answer, caption in zip(answers, captions, strict=True)
        if answer.belief is not None
    ]
    if beliefs:
        return np.concatenate(beliefs)
    images = np.stack([answer.example.image for answer in answers])
    return figures.grid(images, captions, columns=min(5, len(images)))


def _caption(answer: Answer, class_names: Sequence[str]) -> tuple[str, str, str]:
    """Returns lines for a picture: which image it is, what it is taken for, what it is."""
    name, k = answer.example.name, int(answer.probabilities.argmax())
    short = name if len(name) <= LONGEST_NAME else f"...{name[3 - LONGEST_NAME :]}"
    return short, f"taken for {class_names[k]} {answer.probabilities[k]:.0%}", answer.example.note


def as_json(answers: Sequence[Answer], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns all probabilities, and the beliefs by part, as JSON has them."""

    def by_class(probabilities: Float[np.ndarray, " K"]) -> dict[str, float]:
        return dict(zip(class_names, probabilities.tolist(), strict=True))

    return [
        {
            "name": example.name,
            "note": example.note,
            "probabilities": by_class(probabilities),
            **({"belief": list(map(by_class, belief.probabilities))} if belief else {}),
        }
        for example, probabilities, belief in answers
    ]


def _by_probability(probabilities: Float[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
    return np.argsort(-probabilities, kind="stable")
