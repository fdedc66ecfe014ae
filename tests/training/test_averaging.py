"""The average of the parameters, against TensorFlow's; and who reads it."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tensorflow as tf

from rnnjax.config import Config, OptimizerConfig
from rnnjax.data import datasets
from rnnjax.data.batches import Batch
from rnnjax.runs.checkpoint import read
from rnnjax.training.averaging import AverageState, average_params, averaged
from rnnjax.training.evaluation import evaluate_trained
from rnnjax.training.optimizer import adam
from rnnjax.training.task import build_task
from rnnjax.training.train import train
from rnnjax.training.trained import read_trained
from tests.cases import assert_equal

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_it_is_the_one_of_tensorflow(decay: float) -> None:
    """`apply` is called after the step that `num_updates` counts, as in TF1's own examples."""
    params: Any = {"w": RNG.normal(size=(3, 4)).astype(np.float32)}
    variable, count = tf.Variable(params["w"]), tf.Variable(tf.constant(0))
    reference = tf.train.ExponentialMovingAverage(decay, num_updates=count)
    # In eager mode a shadow begins as what `apply` first sees; TF1 begins with the initial value.
    reference.apply([variable])
    transform = average_params(decay)
    state: Any = transform.init(params)
    for n in range(1, 31):
        updates = {"w": RNG.normal(size=(3, 4)).astype(np.float32)}
        unchanged, state = transform.update(updates, state, params)
        assert unchanged is updates
        params = optax.apply_updates(params, updates)
        variable.assign(params["w"])
        count.assign(n)
        reference.apply([variable])
        shadow = reference.average(variable)
        assert shadow is not None
        np.testing.assert_allclose(state.params["w"], shadow.numpy(), rtol=1e-5, atol=1e-6)


def test_without_it_a_state_is_what_it_was() -> None:
    params = {"w": jnp.ones(3)}
    without = adam(OptimizerConfig(), 10).init(params)
    having = adam(OptimizerConfig(average_decay=0.9), 10).init(params)
    assert averaged(without) is None
    assert_equal(averaged(having), params)
    assert jax.tree.structure(without) == jax.tree.structure(tuple(having)[:-1])  # pyright: ignore[reportArgumentType]


def test_a_step_that_is_left_out_leaves_it_alone() -> None:
    config = Config(on_nan="skip")
    config.model.hidden_size = 4
    config.optimizer.average_decay = 0.9
    task = build_task(config)
    batch = Batch(RNG.integers(0, 256, (4, 28, 28), np.uint8), np.arange(4, dtype=np.int32))
    step, key = jax.jit(task.train_step), jax.random.key(1)
    state, _ = step(task.create_state(), batch, key)
    assert not np.array_equal(state.eval_params["readout"]["bias"], state.params["readout"]["bias"])
    # A mean of squares of NaN makes the update NaN, not the loss.
    nan = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), state.opt_state[0].nu)
    broken = state.replace(opt_state=(state.opt_state[0]._replace(nu=nan), *state.opt_state[1:]))
    skipped, _ = step(broken, batch, key)
    assert int(skipped.skipped) == 1
    assert_equal(skipped.eval_params, state.eval_params)


def test_it_is_what_is_evaluated_and_read(tmp_path: Path) -> None:
    """Held to the arrays of the checkpoint; with it, all else of the training is the same."""
    config = Config(num_steps=4, eval_every_steps=4)
    config.data.name = "garments"
    config.model.hidden_size = 8
    train(config, tmp_path / "without")
    config.optimizer.average_decay = 0.9
    result = train(config, tmp_path / "run")
    template = build_task(config).create_state()
    state: Any = read(tmp_path / "run" / "checkpoints" / "4", template).state
    (average,) = (node for node in state.opt_state if isinstance(node, AverageState))
    assert int(average.num_updates) == 4
    trained = read_trained(tmp_path / "run")
    assert_equal(trained.params, average.params)
    assert_equal(state.params, read_trained(tmp_path / "without").params)
    test = datasets.load(config.data).test
    evaluation = evaluate_trained(trained, test)
    assert (evaluation.accuracy, evaluation.loss) == (result.test_accuracy, result.test_loss)
