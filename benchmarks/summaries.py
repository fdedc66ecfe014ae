"""What a run's time goes up by for all that it shows beside loss and accuracy.

    python -m benchmarks.summaries [--config experiments/lstm.py] [--steps 400] [--repeats 3]

A run that shows all, at its config's cadence, takes turns with one that shows none of it, each in a
process of its own; timed from the first finished step to the end, so the programs that the
pictures need are compiled within.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

SHOWN = ("show_graph", "show_parameters", "show_inside", "show_beliefs", "show_classes")


def run_seconds(config_file: Path, num_steps: int, shows: bool) -> float:
    """Returns the seconds of a run after its first step, in this process."""
    from benchmarks.checkpoint import load
    from rnnjax.system.process import tune
    from rnnjax.training.insight import Insight
    from rnnjax.training.run import Run
    from rnnjax.training.train import train

    tune()  # as main does
    if not shows:
        for name in SHOWN:
            setattr(Insight, name, lambda *_: None)
    started: list[float] = []
    train_steps = Run.train_steps

    def timed(*args: object, **options: object) -> object:
        result = train_steps(*args, **options)  # pyright: ignore[reportArgumentType]
        started.append(time.monotonic())
        return result

    setattr(Run, "train_steps", timed)  # noqa: B010 -- of a class whose type forbids it
    config = load(config_file)
    config.num_steps = num_steps
    with tempfile.TemporaryDirectory() as workdir:
        train(config, workdir)
        return time.monotonic() - started[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("experiments/lstm.py"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.repeats):
        seconds = []
        for shows in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = (options.config, options.steps, shows)
                seconds.append(pool.apply(run_seconds, arguments))
        ratios.append(seconds[1] / seconds[0])
        print(f"without {seconds[0]:.1f} s, with {seconds[1]:.1f} s: {ratios[-1]:.3f}", flush=True)
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")


if __name__ == "__main__":
    main()
