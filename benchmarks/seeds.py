"""What a training step of several seeds at once takes, against as many steps of one seed.

    python -m benchmarks.seeds [--config experiments/lstm.py] [--seeds 8] [--rounds 30]

Both go in turns, in one process, on the same images; start-up and compilation are left out, which
the seeds at once pay once. It also says how far the parameters are apart in the end.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.checkpoint import load
from rnnjax.data.datasets import Split
from rnnjax.data.drawn_garments import draw
from rnnjax.system.process import tune
from rnnjax.training import step
from rnnjax.training.over_seeds import over_seeds, stack
from rnnjax.training.state import keys
from rnnjax.training.task import build_task, create_states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("experiments/lstm.py"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    tune()  # as main does
    config, seeds = load(options.config), range(options.seeds)
    task = build_task(config)
    split = jax.device_put(Split(*draw(2_000, seed=0)))
    random = np.random.default_rng(0)
    shape = (options.rounds + 1, 1, options.seeds, config.batch_size)
    rows = random.integers(0, 2_000, shape).astype(np.int32)

    one = _compiled(task.train_step)
    all_at_once = _compiled(over_seeds(task.train_step, options.seeds, num_own=3))
    dropout_keys = [keys(seed)[1] for seed in seeds]
    singles = [jax.jit(task.init_state)(keys(seed)[0]) for seed in seeds]
    together = create_states(task, seeds)
    ratios = []
    for number, of_round in enumerate(rows):
        start = time.perf_counter()
        together, _ = all_at_once(together, of_round, stack(dropout_keys), split)
        jax.block_until_ready(together.step)
        middle = time.perf_counter()
        for seed in seeds:
            singles[seed], _ = one(singles[seed], of_round[:, seed], dropout_keys[seed], split)
            jax.block_until_ready(singles[seed].step)
        if number:  # the first one compiles
            ratios.append((middle - start) / (time.perf_counter() - middle))
    differences = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()), together.params, stack(singles).params
    )
    print(
        f"{options.seeds} seeds on {jax.devices()[0].device_kind}: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f}-{max(ratios):.3f}) of the time of single steps; parameters are apart "
        f"by {max(jax.tree.leaves(differences)):.1e}"
    )


def _compiled(train_step: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(functools.partial(step.train_steps, step=train_step), donate_argnums=(0,))


if __name__ == "__main__":
    main()
