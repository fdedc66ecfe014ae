"""Parameters by gate: those that the cells declare, under their own names."""

import jax
import numpy as np
import pytest

from rnnjax.cells import CELLS
from rnnjax.config import Config
from rnnjax.training.blocks import by_gate, gate_blocks
from rnnjax.training.task import Task, build_task


def task_of(cell: str) -> Task:
    config = Config()
    config.model.cell, config.model.hidden_size = cell, 4
    config.model.output_keep_prob = 0.5
    return build_task(config)


@pytest.mark.parametrize(
    ("cell", "name", "gates"),
    [
        ("lstm", "kernel", ("input", "candidate", "forget", "output")),
        ("lstm", "bias", ("input", "candidate", "forget", "output")),
        ("gru", "gates_kernel", ("reset", "update")),
        ("layer_norm_gru", "recurrent_kernel", ("reset", "update", "candidate")),
        ("slstm", "input_kernel", ("input", "forget", "candidate", "output")),
        ("conv_lstm_2d", "kernel", ("input", "candidate", "forget", "output")),
    ],
)
def test_gates_are_blocks_of_columns(cell: str, name: str, gates: tuple[str, ...]) -> None:
    task = task_of(cell)
    jax.eval_shape(task.create_state)  # which JAX keeps, as in a run
    params = task.create_state().params
    actual = by_gate(params, gate_blocks(task))
    parts = np.split(np.asarray(params["layer_0"][name]), len(gates), axis=-1)
    for gate, part in zip(gates, parts, strict=True):
        np.testing.assert_array_equal(actual[f"layer_0/{name}/{gate}"], part)
    assert f"layer_0/{name}" not in actual
    np.testing.assert_array_equal(actual["readout/kernel"], params["readout"]["kernel"])


def test_a_grouped_kernel_has_its_gates_on_an_axis_of_their_own() -> None:
    config = Config()
    config.model.cell, config.model.hidden_size = "glstm", 4
    config.model.cell_options.num_groups = 2
    task = build_task(config)
    params = task.create_state().params
    actual = by_gate(params, gate_blocks(task))["layer_0/kernel/forget"]
    np.testing.assert_array_equal(actual, np.asarray(params["layer_0"]["kernel"])[:, :, 2:3])


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_all_parameters_are_there_once(cell: str) -> None:
    task = task_of(cell)
    params = jax.tree.map(
        lambda leaf: np.empty(leaf.shape, leaf.dtype), jax.eval_shape(task.create_state).params
    )
    actual = by_gate(params, gate_blocks(task))
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(array.size for array in actual.values()) == size
