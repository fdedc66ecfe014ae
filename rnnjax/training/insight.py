"""What a run shows at an evaluation beside loss and accuracy: a look inside, and at mistakes."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef

from rnnjax.classifier import Params, classify
from rnnjax.data.batches import Batch
from rnnjax.data.datasets import Dataset, Split
from rnnjax.data.sequences import Images, parts
from rnnjax.reporting.graph import graph_of
from rnnjax.reporting.report import Report
from rnnjax.system import distributed
from rnnjax.training import predictions
from rnnjax.training.blocks import Blocks, Path, by_gate, gate_blocks
from rnnjax.training.diagnostics import beliefs, diagnose
from rnnjax.training.predictions import Predictions
from rnnjax.training.task import Task

NUM_DIAGNOSED = 32  # training images that are looked into, the first ones
NUM_WITH_REMAT = 4  # the same where memory is short, as what `remat` saves is needed for this
NUM_BELIEFS = 3  # test images, the first ones
NUM_WORST = 20  # mistakes that are shown
MOST_CLASSES = 100  # each of which has charts of its own


class Insight(NamedTuple):
    """What is needed to show it; its programs are compiled when they are first called.

    Parameters that it is given are not replicated.
    """

    task: Task
    diagnose: Any  # `diagnostics.diagnose` of parameters and a batch, on one device
    beliefs: Any  # `diagnostics.beliefs` of parameters and images, and `sequences.parts` of these
    batch: Batch
    blocks: dict[Path, Blocks]
    class_names: tuple[str, ...]
    splits: dict[str, Split]  # those that are evaluated, on the host
    num_parameters: int

    def show_graph(self, reports: Iterable[Report]) -> None:
        """Shows the computation of the model on a batch, from the images to the probabilities."""
        if distributed.is_primary():
            graph = model_graph(self.task, self.batch)
            for report in reports:
                report.graph(0, graph)

    def show_parameters(self, report: Report, step: int, params: Params) -> None:
        """Shows the distributions of all parameters, gate by gate."""
        if distributed.is_primary():
            report.distributions(step, "parameters", by_gate(jax.device_get(params), self.blocks))

    def show_inside(self, report: Report, step: int, params: Params) -> None:
        """Shows gradients, gates and how far gradients reach back."""
        if not distributed.is_primary():
            return
        diagnosis = jax.device_get(self.diagnose(params, self.batch))
        report.distributions(step, "gradients", by_gate(diagnosis.gradients, self.blocks))
        report.gates(step, "closed", _flat(diagnosis.closed))
        report.gates(step, "open", _flat(diagnosis.open))
        report.gradient_norms(step, diagnosis.gradient_norms)

    def show_beliefs(self, report: Report, step: int, params: Params) -> None:
        """Shows what the model believes of a few test images after each of their rows."""
        if distributed.is_primary():
            images = self.splits["test"].images[:NUM_BELIEFS]
            probabilities, as_read = jax.device_get(self.beliefs(params, images))
            report.beliefs(step, "test", as_read, probabilities, self.class_names)

    def show_classes(self, report: Report, step: int, split: str, of_split: Predictions) -> None:
        """Shows how well each class is told from the others, and the worst mistakes."""
        if not distributed.is_primary():
            return
        names = self.class_names
        report.confusion(step, split, predictions.confusion(of_split), names)
        if len(names) <= MOST_CLASSES:
            recall = predictions.class_figures(of_split).recall
            report.class_accuracies(step, split, dict(zip(names, recall, strict=True)))
            curves = zip(*predictions.pr_curves(of_split), strict=True)
            report.pr_curves(step, split, dict(zip(names, curves, strict=True)))
        rows = predictions.worst(of_split, NUM_WORST)
        captions = [
            (f"is {names[label]}", f"taken for {names[guess]}", f"{p:.0%}")
            for label, guess, p in zip(
                of_split.labels[rows],
                of_split.guesses[rows],
                of_split.probabilities[rows].max(1),
                strict=True,
            )
        ]
        report.images(step, split, "worst_mistakes", self.splits[split].images[rows], captions)


def open_insight(task: Task, dataset: Dataset, splits: dict[str, Split]) -> Insight:
    """Returns what shows a task's models on a data set; nothing is compiled.

    Args:
      task: of the settings.
      dataset: whose first training images are looked into.
      splits: those that are evaluated.
    """
    options = {"model": task.model, "to_sequences": task.to_sequences}

    def beliefs_and_parts(params: Params, images: Images) -> tuple[Any, Any]:
        return beliefs(params, images, **options), parts(images, task.to_sequences)

    return Insight(
        task,
        jax.jit(functools.partial(diagnose, **options)),
        jax.jit(beliefs_and_parts),
        diagnosed_batch(task, dataset.train),
        gate_blocks(task),
        dataset.class_names,
        splits,
        sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(task.create_state).params)),
    )


def diagnosed_batch(task: Task, train: Split) -> Batch:
    """Returns the training images that are looked into, and their labels."""
    number = NUM_WITH_REMAT if task.model.remat else NUM_DIAGNOSED
    return Batch(train.images[:number], train.labels[:number])


def model_graph(task: Task, batch: Batch) -> GraphDef:
    """Returns the computation of a task's model on a batch, as TensorBoard draws it."""

    def classify_images(params: Params, images: Any) -> Any:
        with jax.named_scope("inputs"):
            inputs = task.to_sequences(images)
        logits = classify(task.model, params, inputs).logits
        with jax.named_scope("probabilities"):
            return jax.nn.softmax(logits)

    params = jax.eval_shape(task.create_state).params
    traced = jax.make_jaxpr(classify_images)(params, batch.images)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return graph_of(traced, [*names, "images"], ["prediction"], type(task.model).__name__)


def _flat(shares: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        f"{layer}/{gate}": of_gate for layer in shares for gate, of_gate in shares[layer].items()
    }
