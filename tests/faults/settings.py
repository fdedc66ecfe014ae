"""Settings that cannot be, that do not fit the run in a workdir, or that make it explode."""

import json
import signal

import numpy as np

from rnnjax.runs import sealed
from rnnjax.runs.steps import steps_in
from tests.faults.bench import Bench, Case, Seen
from tests.faults.outcome import arrays, check_equal, check_same_contents, contents
from tests.faults.process import Process


def another_model(bench: Bench) -> Seen:
    """Fault 8: refused, with the settings and the arrays that differ, and nothing touched."""
    expected = bench.expected()

    def refused(words: tuple[str, ...], *settings: str) -> str:
        workdir = bench.unfinished()
        before = contents(workdir)
        Process(workdir, *settings).must_end(2, "holds another run", *words)
        check_same_contents(workdir, before)
        return "exit 2, settings and arrays named, nothing touched"

    def forged() -> str:
        """Settings that were changed in the workdir too, so that only the arrays tell."""
        workdir = bench.unfinished()
        file = workdir / "config.json"
        sealed.write(file, {**sealed.read(file), "model.hidden_size": 16})
        before = contents(workdir / "checkpoints")
        Process(workdir, "--config.model.hidden_size=16").must_end(
            1, "is of another state", "float32[36, 32] and is now float32[44, 64]"
        )
        check_same_contents(workdir / "checkpoints", before)
        return "config.json forged: exit 1, arrays named, nothing touched"

    def allowed() -> str:
        workdir = bench.unfinished()
        Process(workdir, "--config.checkpoint.keep=2", "--config.on_nan=skip").must_succeed()
        actual = json.loads((workdir / "result.json").read_text())
        assert actual["test_loss"] == expected.result["test_loss"]
        return "checkpoint.keep, on_nan: may change, same end"

    hidden = ("config.model.hidden_size was 8 and is now 16",)
    hidden += ("was float32[36, 32] and is now float32[44, 64]",)
    cell = ("config.model.cell was 'lstm' and is now 'gru'", "and is now absent", "was absent")
    clip = ("config.optimizer.clip_norm was 0.0 and is now 1.0",)
    cases: dict[str, Case] = {
        "hidden size": lambda: refused(hidden, "--config.model.hidden_size=16"),
        "cell": lambda: refused(cell, "--config.model.cell=gru"),
        "optimiser": lambda: refused(clip, "--config.optimizer.clip_norm=1"),
        "several": lambda: refused(
            (*hidden, *clip), "--config.model.hidden_size=16", "--config.optimizer.clip_norm=1"
        ),
        "forged": forged,
        "allowed": allowed,
    }
    return bench.each(bench.selected(cases, "hidden size", "cell", "optimiser"))


EXPLODE = ("--config.optimizer.learning_rate=1e38", "--config.checkpoint.every_steps=1")


def not_finite(bench: Bench) -> Seen:
    """Fault 9: halted without a checkpoint of it; skipped and counted, up to a limit."""

    def check_checkpoints(process: Process) -> list[int]:
        steps = steps_in(process.workdir / "checkpoints")
        for step in steps:
            actual = arrays(process.workdir / "checkpoints" / str(step))
            for name, array in actual.items():
                assert np.isfinite(array).all(), f"{name} of {step} is not finite"
        return steps

    def halt(*settings: str) -> str:
        workdir = bench.workdir()
        run = Process(workdir, *settings)
        first = run.must_end(1, "step", "config.on_nan=skip")
        steps = check_checkpoints(run)
        again = Process(workdir, *settings)
        assert again.must_end(1) == first, "the second try ended otherwise"
        assert check_checkpoints(again) == steps
        return f"halt: exit 1 twice, newest saved is {steps[-1] if steps else 'none'}, all finite"

    def limit() -> str:
        run = Process(bench.workdir(), *EXPLODE, "--config.on_nan=skip")
        run.must_end(1, "config.max_skipped_steps=10")
        check_checkpoints(run)
        return "skip: exit 1 beyond config.max_skipped_steps"

    def skip() -> str:
        settings = (*SOME, "--config.on_nan=skip")
        expected = bench.expected(*settings)
        skipped = int(expected.arrays["['skipped']"])
        assert 0 < skipped < 40, f"{skipped} steps were skipped"
        workdir = bench.workdir()
        run = Process(workdir, *settings)
        assert run.until_step(24), run.errors
        run.send(signal.SIGKILL)
        run.wait()
        Process(workdir, *settings).must_succeed()
        check_equal(workdir, expected)
        return f"skip: {skipped} of 48 steps left out and counted, same end after SIGKILL"

    cases: dict[str, Case] = {
        "halt at once": lambda: halt(*EXPLODE),
        "halt later": lambda: halt(*SOME),
        "limit": limit,
        "skip": skip,
    }
    return bench.each(bench.selected(cases, "halt later", "skip"))


# Gradients whose squares are close to what a float32 holds: infinite in some steps, not in all.
SOME = ("--config.batch_size=4", "--config.model.readout_stddev=1.5e19")

WRONG = {
    "--confg.seed=1": "confg",
    "--config.model.hiden_size=3": "'model.hidden_size'",
    "--config.model.hidden_size=many": "config.model.hidden_size=many",
    "--config.model.hidden_size=-1": "at least 1",
    "--config.model.hidden_size=8.5": "config.model.hidden_size",
    "--config.model.output_keep_prob=nan": "config.model.output_keep_prob",
    "--config.optimizer.learning_rate=0": "config.optimizer.learning_rate",
    "--config.optimizer.learning_rate=inf": "config.optimizer.learning_rate",
    "--config.on_nan=ignore": "halt, skip",
    "--config.checkpoint.keep=0": "config.checkpoint.keep=0",
    "--config.checkpoint.every_steps=0": "config.checkpoint.every_steps=0",
    "--config.model.cell=lsmt": "'lstm'",
    "--config.model.cell_options={'peepholes':True}": "'use_peepholes'",
    "--config.data.validation_size=20000": "validation_size",
    "--config.num_steps=3": "config.num_steps=3",
    "--config.batch_size=0": "config.batch_size=0",
    "leftover": "'leftover'",
}


def wrong_settings(bench: Bench) -> Seen:
    """Fault 11: exit 2 with one line, a run's workdir as it was."""

    def case(setting: str, word: str) -> str:
        workdir = bench.unfinished()
        (workdir / "result.json").unlink()  # a run that has ended says so, whatever it is asked
        before = contents(workdir)
        run = Process(workdir, setting)
        run.must_end(2, word)
        assert run.lines == [], run.lines
        check_same_contents(workdir, before)
        return "exit 2, one line, workdir untouched"

    cases: dict[str, Case] = {
        setting: lambda setting=setting, word=word: case(setting, word)
        for setting, word in WRONG.items()
    }
    return bench.each(bench.selected(cases, *list(WRONG)[:9]))
