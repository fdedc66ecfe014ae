"""Told to stop with SIGTERM or SIGINT, in each part of a run."""

import json
import re
import signal
import time
from pathlib import Path

from rnnjax.runs.steps import steps_in
from rnnjax.system.signals import REPEAT_SECONDS
from tests.faults.bench import Bench, Case, Seen
from tests.faults.outcome import check_equal
from tests.faults.process import Process
from tests.faults.quick import EVAL_EVERY

LIMIT = 10.0  # seconds from the signal to the end
AT_ONCE = 1.0  # seconds from the second signal to the end
DEEP = ("--config.model.num_layers=6", "--config.model.bidirectional=true")  # long to compile
PHASES = ("start-up", "compile", "step", "evaluation", "save")


def reach(run: Process, phase: str) -> None:
    """Waits until a run is in a part of its life."""
    if phase == "start-up":  # not before Python itself has started
        reached = run.until(lambda: "jaxlib" in Path(f"/proc/{run.pid}/maps").read_text())
    elif phase == "compile":
        reached = run.until(compiling(run.workdir).exists)
        time.sleep(0.3)  # from there to the compiler
    elif phase == "step":
        reached = run.until_line("training accuracy", " 12 ")
    elif phase == "evaluation":
        reached = run.until_line("training accuracy", " 16 ")
    else:
        reached = run.until(lambda: any(int(draft.stem) >= 10 for draft in run.drafts()))
    assert reached, f"ended before it was in {phase}: {run.errors}"


def compiling(workdir: Path) -> Path:
    """Returns the file that there is once a run is about to compile, where `recorded` is used."""
    return Path(f"{workdir}.compiling")


def recorded(workdir: Path) -> dict[str, str]:
    """Returns the environment of a run that notes when it is about to compile."""
    return {"RECORD_COMPILING": str(compiling(workdir))}


def stopped(bench: Bench, number: signal.Signals, phase: str) -> str:
    """Stops a run, which has to save and end in time, and lets it go on to the same end."""
    expected, workdir = bench.expected(), bench.workdir()
    run = Process(workdir, environment=recorded(workdir))
    reach(run, phase)
    run.send(number)
    sent = time.monotonic()
    if phase == "start-up":  # nothing to save, nothing to say
        text = run.must_end(128 + number, lines=0)
    else:
        text = run.must_end(128 + number, number.name, "the same command goes on from there")
    seconds = time.monotonic() - sent
    assert seconds < LIMIT, f"{seconds:.1f} s until the end"
    steps = steps_in(workdir / "checkpoints")
    if phase != "start-up":
        (step,) = re.findall(r"after step (\d+)", text)
        # Before the first step there is nothing to save.
        assert steps[-1:] == ([int(step)] if int(step) else []), f"{text}, but saved is {steps}"
        assert phase == "compile" or int(step) >= 10, f"not hit in {phase}, but at step {step}"
        if phase == "evaluation":
            progress = json.loads((workdir / "checkpoints" / step / "run.json").read_text())
            accuracy = progress["progress"]["validation_accuracy"]
            assert int(step) % EVAL_EVERY == 0, f"no evaluation is due after step {step}"
            assert accuracy is None, "the evaluation was not hit"
    Process(workdir).must_succeed()
    check_equal(workdir, expected)
    return f"{phase}: exit {128 + number} in {seconds:.1f} s"


def stopped_by_slurm(bench: Bench) -> str:
    """Its node and srun send a SIGTERM each, which are one."""
    workdir = bench.workdir()
    run = Process(workdir)
    reach(run, "step")
    for _ in range(2):
        run.send(signal.SIGTERM)
        time.sleep(0.03)
    run.must_end(143, "SIGTERM", "the same command goes on from there")
    Process(workdir).must_succeed()
    check_equal(workdir, bench.expected())
    return "two SIGTERM at once: saved, exit 143"


def stopped_twice(bench: Bench, phase: str, second: signal.Signals) -> str:
    """Two signals: the run ends at once, and goes on later from what it has saved."""
    workdir = bench.workdir()
    settings = DEEP if phase == "compile" else ()
    run = Process(workdir, *settings, environment=recorded(workdir))
    reach(run, phase)
    run.send(signal.SIGTERM)
    time.sleep(0.03 if second != signal.SIGTERM else REPEAT_SECONDS + 0.2)
    assert not run.ended, "the first signal was enough"
    run.send(second)
    sent = time.monotonic()
    run.must_end(128 + second, lines=0)
    seconds = time.monotonic() - sent
    assert seconds < AT_ONCE, f"{seconds:.1f} s after the second signal"
    if phase != "compile":
        Process(workdir).must_succeed()
        check_equal(workdir, bench.expected())
    return f"{phase}, second signal: exit {128 + second} in {seconds:.2f} s"


def told_to_stop(bench: Bench) -> Seen:
    """Fault 2."""
    bench.expected()
    cases: dict[str, Case] = {}
    for phase in PHASES:
        for number in (signal.SIGTERM, signal.SIGINT):
            cases[f"{number.name} in {phase}"] = lambda number=number, phase=phase: stopped(
                bench, number, phase
            )
    # A step is over, and all is saved, before another SIGTERM could be a second one.
    for phase, seconds in (
        ("compile", (signal.SIGTERM, signal.SIGINT)),
        ("step", (signal.SIGINT,)),
    ):
        for second in seconds:
            cases[f"SIGTERM, then {second.name} in {phase}"] = lambda phase=phase, second=second: (
                stopped_twice(bench, phase, second)
            )
    cases["SIGTERM of SLURM"] = lambda: stopped_by_slurm(bench)
    short = (
        "SIGTERM in save",
        "SIGINT in evaluation",
        "SIGTERM, then SIGTERM in compile",
        "SIGTERM of SLURM",
    )
    return bench.each(bench.selected(cases, *short))
