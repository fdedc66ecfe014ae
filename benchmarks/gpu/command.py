"""What a GPU makes of recurrent networks: one command, at most 8 minutes, two files.

    python -m benchmarks.gpu [--out FOLDER] [--parts speed,memory] [--seconds 470] [--tiny]

It needs JAX, flax, NumPy and jaxtyping, and measures torch as well if it is there. `gpu.json` has
all rows, `gpu.md` the tables, and in the end what "auto" should take. Each part has its share of
the time; what there is no time for, what cannot be had and what fails is said, and the rest goes
on. Ctrl-C writes what there is. Without a GPU it runs small on the CPU, which measures nothing.
"""

import argparse
import importlib.util
import itertools
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.log import Log
from benchmarks.gpu.plan import PARTS, SECONDS, Case, make_plan
from benchmarks.gpu.processes import end_case, run_plan, run_process
from benchmarks.gpu.report import label_of, to_markdown
from benchmarks.gpu.rows import LEFT_OUT
from benchmarks.recurrent import chosen

MOST_SECONDS = 470
PROBE_SECONDS = 60  # at most, until it is known what there is


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for gpu.json and gpu.md")
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="at most, in all")
    parser.add_argument("--tiny", action="store_true", help="a little of each part")
    options = parser.parse_args()
    if not options.seconds > 0:
        parser.error(f"--seconds: {options.seconds} is no positive number")
    options.parts = chosen(parser, "parts", options.parts, PARTS)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        parser.error(f"--out: {options.out} cannot be written: {error.strerror}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's, as Ctrl-C
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(measure(options, Log(Path(folder) / "log.jsonl")))


def measure(options: argparse.Namespace, log: Log) -> int:
    """Measures, writes the files whatever happens, and returns the exit status."""
    start, plan, status = time.monotonic(), list[Case](), 0
    try:
        until = start + min(PROBE_SECONDS, options.seconds)
        _, reason = run_process("jax", [], {None: until}, log)
        if not log.read("facts"):
            raise SystemExit(f"benchmarks.gpu: JAX cannot be used: {reason}")
        cases = make_plan(*what_there_is(log, options.tiny))
        plan = [case for case in cases if case.part in options.parts]
        run_plan(plan, deadlines(plan, start + options.seconds), log)
    except KeyboardInterrupt:
        status = 130
        ended = {*log.read("end")}
        for number, case in enumerate(plan):
            if number not in ended:
                end_case(log, number, case, LEFT_OUT, "it was stopped before")
    if not log.read("facts"):
        return status  # it was stopped before it knew what there is
    facts: dict[str, Any] = {}
    for of_process in log.read("facts"):
        facts = of_process | facts
    write(options.out, facts, log.rows(), time.monotonic() - start)
    return status


def what_there_is(log: Log, tiny: bool) -> tuple[str, str | None]:
    """Returns the scale of the plan, and the name of torch; None if it is not there."""
    is_gpu = log.read("facts")[0]["backend"] == "gpu"
    has_torch = importlib.util.find_spec("torch") is not None
    torch = f"torch, {'CUDA' if is_gpu else 'CPU'}" if has_torch else None
    return ("tiny" if tiny else "gpu" if is_gpu else "small"), torch


def deadlines(plan: list[Case], end: float) -> dict[Any, float]:
    """Returns when each stage, and all, has to end; what one leaves of its time, the next have."""
    now, stages = time.monotonic(), dict.fromkeys(case.stage for case in plan)
    shares = itertools.accumulate(SECONDS[stage] for stage in stages)
    total = sum(SECONDS[stage] for stage in stages)
    ends = (now + share / total * (end - now) for share in shares)
    return {None: end, **dict(zip(stages, ends, strict=True))}


def write(out: Path, facts: dict[str, Any], rows: list[dict[str, Any]], seconds: float) -> None:
    """Writes both files, each of them whole; first the rows, whatever the tables make of them."""
    label = label_of(facts)
    report = {"label": label, "seconds": seconds, "facts": facts, "rows": rows}
    _replace(out / "gpu.json", json.dumps(report, indent=1) + "\n")
    _replace(out / "gpu.md", to_markdown(facts, rows, seconds))
    print(f"{out / 'gpu.md'}: {label}, {seconds:.0f} s")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(f"{path.suffix}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
