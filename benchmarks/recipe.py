"""experiments/lstm.py against the same recipe in torch, from the start of the process to its end.

    python -m benchmarks.recipe [--steps 2000] [--repeats 3]

All train the LSTM of the TensorFlow 1 tutorial on Fashion-MNIST with Adam and evaluate all test
images every 100 steps. rnnjax also writes summaries and checkpoints, torch does not. They take
turns: rnnjax, torch as its users have it, and "torch, tuned", whose memory is as `rnnjax.main` sets
that of its own process. A first short run of each, which is not counted, fills the file caches and
rnnjax's cache of compiled programs.

Where the time goes is told by part, in seconds (medians). The start is all until the first step is
done, the end all after the last part.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.clock import Clock

NAMES = ("rnnjax", "torch", "torch, tuned")
PARTS = ("start", "steps", "evaluation", "summaries", "checkpoints", "end")
ROOT = Path(__file__).parents[1]


def run_rnnjax(num_steps: int, clock: Clock) -> None:
    """Runs the command itself, in this process."""
    from rnnjax import main
    from rnnjax.training.run import Run
    from rnnjax.training.seed_reports import SeedReports

    for method, part in (
        ("train_steps", "steps"),
        ("log", "summaries"),
        ("evaluate", "evaluation"),
        ("save", "checkpoints"),
        ("finish", "checkpoints"),
    ):
        clock.watch(Run, method, part)
    for method in ("show_step", "show_training", "show_evaluations", "show_predictions", "flush"):
        clock.watch(SeedReports, method, "summaries")
    clock.end_start_with(Run, "train_steps")
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["rnnjax", f"--workdir={folder}/run"]
        sys.argv += [f"--config={ROOT / 'experiments' / 'lstm.py'}"]
        sys.argv += [f"--config.num_steps={num_steps}"]
        try:
            main.run()
        except SystemExit as end:
            if end.code:
                raise


def run(name: str, num_steps: int, process_start: float, pipe: Connection) -> None:
    """Trains with one of `NAMES`, and sends the seconds of each part."""
    clock = Clock(process_start)
    if name == "rnnjax":
        run_rnnjax(num_steps, clock)
    else:
        if name == "torch, tuned":
            from rnnjax.system.process import retain_freed_memory

            retain_freed_memory()
        from benchmarks import torch_recipe

        torch_recipe.train(num_steps, clock)
    pipe.send(dict(clock.seconds))


def seconds(name: str, num_steps: int) -> dict[str, float]:
    """Returns the seconds of each part, and of the whole process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    start = time.monotonic()
    process = context.Process(target=run, args=(name, num_steps, start, theirs))
    process.start()
    theirs.close()
    try:
        parts = ours.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"{name} ended with {process.exitcode}") from error
    process.join()
    whole = time.monotonic() - start
    return parts | {"end": whole - sum(parts.values()), "all": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the seconds of all runs")
    options = parser.parse_args()
    for name in NAMES[:2]:
        seconds(name, 100)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for _ in range(options.repeats):
        for name in NAMES:
            runs[name].append(seconds(name, options.steps))
            print(f"{name} {runs[name][-1]['all']:.1f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")
    print(f"| | {' | '.join((*PARTS, 'all'))} |\n|{'---|' * (len(PARTS) + 2)}")
    for name in NAMES:
        medians = [
            statistics.median(one.get(p, 0.0) for one in runs[name]) for p in (*PARTS, "all")
        ]
        print(f"| {name} | {' | '.join(f'{median:.1f}' for median in medians)} |")
    for name in NAMES[1:]:
        pairs = zip(runs["rnnjax"], runs[name], strict=True)
        ratios = [ours["all"] / theirs["all"] for ours, theirs in pairs]
        print(
            f"rnnjax / {name}: {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f}-{max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
