"""The graph of a model, as TensorBoard reads it."""

from typing import Any

import jax
import numpy as np
import pytest

from rnnjax.cells import CELLS
from rnnjax.config import Config
from rnnjax.data.batches import Batch
from rnnjax.training.insight import model_graph
from rnnjax.training.task import Task, build_task


def task_of(cell: str, **settings: Any) -> Task:
    config = Config()
    config.model.cell, config.model.hidden_size = cell, 4
    for name, value in settings.items():
        setattr(config.model, name, value)
    return build_task(config)


def nodes_of(task: Task) -> dict[str, Any]:
    batch = Batch(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int32))
    return {node.name: node for node in model_graph(task, batch).node}


def boxes(names: Any) -> set[str]:
    """What is to be seen while nothing is unfolded."""
    return {name.partition("/")[0] for name in names}


def shape(node: Any, output: int = 0) -> list[int]:
    return [d.size for d in node.attr["_output_shapes"].list.shape[output].dim]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_four_boxes_between_images_and_prediction(cell: str) -> None:
    nodes = nodes_of(task_of(cell))
    expected = {"images", "inputs", "layer_0", "readout", "probabilities", "prediction"}
    assert boxes(nodes) == expected
    assert shape(nodes["images"]) == [3, 28, 28]
    assert shape(nodes["prediction"]) == [3, 10]


def test_the_body_of_an_lstms_loop() -> None:
    nodes = nodes_of(task_of("lstm"))
    body = "layer_0/scan/body"
    assert shape(nodes["layer_0/kernel"]) == [32, 16]
    assert [*nodes[f"{body}/dot_general"].input] == [f"{body}/concatenate", "layer_0/kernel"]
    gates = {name.split("/")[3] for name in nodes if name.startswith(f"{body}/gate_")}
    assert gates == {"gate_input", "gate_forget", "gate_output"}
    # What is carried comes from the end of the body, and goes into its beginning.
    assert [*nodes["layer_0/scan/carry_1"].input] == [f"{body}/mul_2"]
    assert "layer_0/scan/carry_1" in nodes[f"{body}/concatenate"].input
    split = nodes[f"{body}/split"]
    assert [shape(split, n) for n in range(4)] == [[3, 4]] * 4


def test_a_loop_in_a_loop_is_a_box_of_its_own() -> None:
    """With remat, the steps of a chunk; their results go round in the loop over chunks too."""
    names = {*nodes_of(task_of("lstm", remat=True))}
    inner = "layer_0/scan/body/scan"
    assert {"layer_0/scan/carry", f"{inner}/carry", f"{inner}/body/dot_general"} <= names
    assert any(name.startswith(f"{inner}/body/gate_forget/") for name in names)
    assert "layer_0/scan/body/scan/carry" in nodes_of(task_of("grid_lstm"))


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_edge_has_a_node_and_every_parameter_is_drawn(cell: str) -> None:
    task = task_of(cell, num_layers=2, bidirectional=True)
    nodes = nodes_of(task)
    for node in nodes.values():
        assert {edge.partition(":")[0] for edge in node.input} <= nodes.keys(), node.name
    params = jax.eval_shape(task.create_state).params
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}
    drawn = {name for name, node in nodes.items() if node.op == "Parameter"}
    assert drawn == names
