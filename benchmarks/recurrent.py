"""Forward passes and training steps against torch, flax and Keras.

    python -m benchmarks.recurrent [--quick] [--kinds lstm,gru] [--sizes 0,2] [--json FILE]

With `--tuned` the others have the process settings of ours too, memory above all, which no one who
uses them has by default: what then differs are the programs. All run on the CPU; of a GPU,
`python -m benchmarks.gpu` tells.

Each contender has a process of its own, set up as its users have it: ours as `rnnjax.main` does.
They are checked to be the same function first, and then take turns. Printed are medians in ms, and
the ratios of ours to theirs, round by round: their median and, in brackets, least and greatest.
Compile time is that of the step, once, tracing included; memory is what XLA plans for it.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Collection
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import ratio, take_turns

NAMES = ("rnnjax", "torch", "flax", "keras")
KINDS = ("rnn", "gru", "lstm", "lstm_2_layers", "bilstm")
SIZES = ((256, 128, 28, 28), (128, 64, 784, 1), (512, 256, 28, 28), (1024, 128, 100, 128))
TURN = 0.4  # seconds at least that a contender has in a round


def serve(name: str, kind: str, size: tuple[int, ...], tuned: bool, pipe: Connection) -> None:
    """Builds a contender, and then runs `forward` or `step` as often as it is told."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS="0")
    if tuned or name.startswith("rnnjax"):
        from rnnjax.system.process import tune

        tune()
    from benchmarks.contenders import build
    from benchmarks.networks import Problem

    contender = build(name, Problem(kind, *size))
    logits = contender.forward()
    losses = [contender.step() for _ in range(3)]
    pipe.send((logits, losses, contender.compile_s, contender.peak_mib))
    while (order := pipe.recv()) is not None:
        what, times = order
        run = getattr(contender, what)
        started = time.perf_counter()
        for _ in range(times):
            run()
        pipe.send((time.perf_counter() - started) / times * 1e3)


class Seat:
    """A contender in its process."""

    def __init__(
        self, name: str, kind: str, size: tuple[int, ...], tuned: bool, stack: ExitStack
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=serve, args=(name, kind, size, tuned, theirs), daemon=True)
        process.start()
        theirs.close()
        stack.callback(process.join)
        stack.callback(self._pipe.send, None)
        self.logits, self.losses, self.compile_s, self.peak_mib = self._pipe.recv()

    def milliseconds(self, what: str, times: int) -> float:
        self._pipe.send((what, times))
        return self._pipe.recv()


def check_equal(seats: dict[str, Seat]) -> None:
    """Raises an AssertionError if logits, or the losses of the first steps, differ."""
    peer = seats["torch"]
    for name, seat in seats.items():
        np.testing.assert_allclose(seat.logits, peer.logits, atol=2e-5, err_msg=name)
        # torch, and Keras for a GRU, have two biases where others have one, and move both.
        np.testing.assert_allclose(seat.losses, peer.losses, rtol=2e-3, err_msg=name)


def compare(kind: str, size: tuple[int, ...], rounds: int, tuned: bool) -> list[dict[str, Any]]:
    """Prints the rows of one network in all contenders, and returns them."""
    with ExitStack() as stack:
        seats = {name: Seat(name, kind, size, tuned, stack) for name in NAMES}
        check_equal(seats)
        forward = take_turns(seats, "forward", rounds, TURN)
        step = take_turns(seats, "step", rounds, TURN)
    rows = []
    for name, seat in seats.items():
        row = {
            "cell": kind,
            **dict(zip(("hidden", "batch", "time", "features"), size, strict=True)),
            "contender": name,
            "forward_ms": statistics.median(forward[name]),
            "step_ms": statistics.median(step[name]),
            "compile_s": seat.compile_s,
            "peak_mib": seat.peak_mib,
        }
        rows.append(row)
        cells = (
            kind,
            ", ".join(map(str, size)),
            name,
            f"{row['forward_ms']:.1f}",
            ratio(forward["rnnjax"], forward[name]),
            f"{row['step_ms']:.1f}",
            ratio(step["rnnjax"], step[name]),
            f"{seat.compile_s:.2f}",
            "" if seat.peak_mib is None else f"{seat.peak_mib:.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    return rows


def chosen(
    parser: argparse.ArgumentParser, name: str, given: str, known: Collection[str]
) -> list[str]:
    """Returns what a list with commas names; ends the program if one of it is not known."""
    names = given.split(",")
    if unknown := sorted({*names} - {*known}):
        parser.error(f"--{name}: {', '.join(unknown)} is not among {', '.join(known)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only LSTM and GRU at the first size")
    parser.add_argument("--tuned", action="store_true", help="all have our process settings")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default="0,1,2,3", help=f"numbers of {SIZES}: H, B, T, F")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="file for a row of each contender")
    options = parser.parse_args()
    kinds = chosen(parser, "kinds", options.kinds, KINDS)
    numbers = chosen(parser, "sizes", options.sizes, [str(n) for n in range(len(SIZES))])
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} is no positive number")
    if options.json:
        try:
            options.json.touch()
        except OSError as error:
            parser.error(f"--json: {options.json} cannot be written: {error.strerror}")
    sizes = [SIZES[int(number)] for number in numbers]
    if options.quick:
        kinds, sizes = ["lstm", "gru"], [SIZES[0]]
    os.environ.update(JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
    columns = ("cell", "H, B, T, F", "contender", "forward ms", "ours/", "step ms", "ours/")
    print(f"| {' | '.join((*columns, 'compile s', 'peak MiB'))} |\n|{'---|' * 9}", flush=True)
    rows = []
    for size in sizes:
        for kind in kinds:
            rows += compare(kind, size, options.rounds, options.tuned)
            if options.json:  # each time: the next may take an hour, or be stopped
                options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
