"""A training step of every cell, as `experiments/family.py` trains them, against the LSTM's.

    python -m benchmarks.family [--steps 10] [--repeats 3]

Each cell alternates with the LSTM; printed is the table of docs/cells.md.
"""

import argparse
import statistics

from benchmarks.bare import BareStep
from experiments import family
from rnnjax.cells import CELLS
from rnnjax.system.process import tune

# What by default is an LSTM, or an LSTM a feature block of which there is one.
OPTIONS = {
    "glstm": {"num_groups": 4},
    "grid_lstm": {"feature_size": 14},
    "slstm": {"num_heads": 4},
}


def bare_step(cell: str) -> BareStep:
    config = family.get_config()
    config.model.cell = cell
    config.model.cell_options.update(OPTIONS.get(cell, {}))
    return BareStep(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    tune()  # as rnnjax.main does
    lstm = bare_step("lstm")
    print("| cell | parameters | ms per step | / LSTM |\n|---|---|---|---|")
    for name in CELLS:
        step = bare_step(name)
        times = [(step.seconds(args.steps), lstm.seconds(args.steps)) for _ in range(args.repeats)]
        ratio = statistics.median(ours / theirs for ours, theirs in times)
        milliseconds = 1e3 * statistics.median(ours for ours, _ in times)
        print(f"| {name} | {step.parameters:,} | {milliseconds:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
