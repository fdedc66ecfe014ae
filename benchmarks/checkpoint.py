"""What checkpoints cost a run.

    python -m benchmarks.checkpoint [--config experiments/lstm.py] [--repeats 20]

A stretch of training steps with a save at its beginning, as training makes it, takes turns with
one without. Their difference holds the wait for the copy and what the writer takes from the steps
beside it; it is set against the steps of one default interval.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.bare import BareStep
from rnnjax.config import Config
from rnnjax.runs.checkpoint import Origin, Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.system.devices import unreplicate
from rnnjax.system.process import tune

STRETCH = 1.5  # seconds of steps: many times what a save takes


def load(file: Path) -> Config:
    """Returns the settings of an experiment."""
    spec = importlib.util.spec_from_file_location("experiment", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("experiments/lstm.py"))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    tune()  # as main does
    config = load(options.config)
    bare = BareStep(config)
    steps = max(1, round(STRETCH / bare.seconds(20)))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), config.checkpoint.keep)
        checkpoints.prepare(Origin("benchmark", {}))

        def stretch(save: bool) -> float:
            start = time.monotonic()
            if save:
                state = unreplicate(bare.state)
                checkpoints.save(int(state.step), state, Progress())
            bare.seconds(steps)
            return time.monotonic() - start

        stretch(save=True)
        pairs = []
        for number in range(options.repeats):
            order = (True, False) if number % 2 else (False, True)
            seconds = {save: stretch(save) for save in order}
            checkpoints.wait()
            pairs.append(seconds)
        checkpoints.close()
    step = statistics.median(pair[False] for pair in pairs) / steps
    costs = sorted(pair[True] - pair[False] for pair in pairs)
    cost, low, high = (costs[round(q * (len(costs) - 1))] for q in (0.5, 0.25, 0.75))
    interval = config.checkpoint.every_steps
    print(f"a step        {step * 1e3:.1f} ms")
    print(f"a checkpoint  {cost * 1e3:.0f} ms (quartiles {low * 1e3:.0f} to {high * 1e3:.0f})")
    print(
        f"one every {interval} steps: {cost / (interval * step):.2%} of the time (quartiles "
        f"{low / (interval * step):.2%} to {high / (interval * step):.2%})"
    )


if __name__ == "__main__":
    main()
