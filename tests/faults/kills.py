"""Killed with SIGKILL, at any moment."""

import random
import time
from pathlib import Path

from tests.faults.bench import Bench, Seen
from tests.faults.outcome import check_equal
from tests.faults.process import Process
from tests.faults.quick import EVAL_EVERY, STEPS

SAVE_SECONDS = 0.1  # about as long as a save takes


def killed_anywhere(bench: Bench) -> Seen:
    """Fault 1: runs killed once to thrice, each time at a random moment, then left to end."""
    expected, samples = bench.expected(), read_samples(Path(f"{bench.reference}.samples"))
    seen = Seen()
    while seen.times < bench.moments:
        left = bench.moments - seen.times
        chains = {}
        for number in range(min(bench.jobs, left)):
            most = 3 if bench.short else bench.random.randint(1, 3)
            kills = min(most, left // bench.jobs or 1)
            chance = random.Random(bench.random.random())

            def chain(kills: int = kills, chance: random.Random = chance) -> str:
                workdir = bench.workdir()
                record = {"RECORD_SAMPLES": f"{workdir}.samples"}
                phases = []
                for _ in range(kills):
                    run = Process(workdir, environment=record)
                    if kill_at_random(run, bench.seconds, chance):
                        phases.append(phase(run))
                run = Process(workdir, environment=record)
                run.must_succeed()
                assert run.errors == [], run.errors
                try:
                    check_equal(workdir, expected)
                    check_samples(read_samples(Path(record["RECORD_SAMPLES"])), samples)
                except AssertionError as error:
                    raise AssertionError(f"killed in {', '.join(phases)}: {error}") from error
                return ",".join(phases)

            chains[f"chain {number} after {seen.times} kills"] = chain
        actual = bench.each(chains)
        seen.failures += actual.failures
        for phases, times in actual.held.items():
            for name in filter(None, phases.split(",")):
                seen.held[name] += times
                seen.times += times
        if actual.failures:
            seen.times += len(actual.failures)
    return seen


def kill_at_random(run: Process, seconds: float, chance: random.Random) -> bool:
    """Kills a run at a random moment of its life, or of one of its saves; not if it ends before."""
    if chance.random() < 0.3:
        for _ in range(chance.randint(1, 6)):
            run.until(lambda: bool(run.drafts()))
            moment = time.monotonic() + chance.uniform(0, SAVE_SECONDS)
            run.until(lambda moment=moment: time.monotonic() > moment)
    else:
        moment = run.started + chance.uniform(0, seconds)
        run.until(lambda: time.monotonic() > moment)
    killed = not run.ended
    run.kill()
    return killed and run.process.returncode < 0


def phase(run: Process) -> str:
    """Returns what a killed run was doing."""
    drafts = (run.workdir / "checkpoints").glob("*.tmp")  # there may be older ones
    if any(draft.stat().st_mtime > run.started_at for draft in drafts):
        return "save"
    if any("was done" in line for line in run.lines):
        evaluates = "training accuracy" in run.lines[-1] and run.last_step % EVAL_EVERY == 0
        return "evaluation" if evaluates or "test accuracy" in run.lines[-1] else "step"
    return "compile" if list((run.workdir / "train").glob("events*")) else "start-up"


def read_samples(file: Path) -> list[tuple[int, int, str]]:
    """Returns (process, step, digest of its batch) for every batch taken, in order."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(int(process), int(step), digest) for process, step, digest in lines]


def check_samples(actual: list[tuple[int, int, str]], expected: list[tuple[int, int, str]]) -> None:
    """Every process must have had the uninterrupted run's samples, from its first step on."""
    order = [digest for _, _, digest in expected]
    assert len(set(order)) == STEPS, "the uninterrupted run has no order to compare with"
    for process in dict.fromkeys(process for process, _, _ in actual):
        steps = [step for p, step, _ in actual if p == process]
        assert steps == list(range(steps[0], steps[0] + len(steps))), f"steps {steps}"
        digests = [digest for p, _, digest in actual if p == process]
        assert digests == order[steps[0] : steps[0] + len(steps)], f"other samples from {steps[0]}"
    assert {step for _, step, _ in actual} == set(range(STEPS)), "not all steps"


def read_back(bench: Bench) -> Seen:
    """Fault 14: the event files of a run killed again and again while it writes them."""
    kills = 2 if bench.short else 5

    def case() -> str:
        expected, workdir = bench.expected(), bench.workdir()
        for kill in range(kills):
            run = Process(workdir)
            wanted = (kill + 1) * STEPS // (kills + 1)
            assert run.until_step(wanted), f"ended early: {run.errors}"
            run.kill()
        Process(workdir).must_succeed()
        check_equal(workdir, expected)
        return f"each tag strictly increasing and as in the uninterrupted run, after {kills} kills"

    return bench.each({"event files": case})
