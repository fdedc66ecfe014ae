"""A run that goes on where its last bits may differ: other cores, instructions, devices."""

import os
import shutil
from collections.abc import Mapping, Sequence

from tests.faults.bench import SAVED, Bench, Case, Seen, UnavailableError
from tests.faults.outcome import check_equal, check_same_contents, contents
from tests.faults.process import Process

WARNING = "from here on the last bits may not be those of an uninterrupted run: "
REFUSAL = "config.strict=True, and the last bits may not be the same: "


def elsewhere(bench: Bench) -> Seen:
    """Fault 19: one line that says what differs; with config.strict refused, nothing touched."""

    def case(
        phrases: Sequence[str], environment: Mapping[str, str], wrapper: Sequence[str] = ()
    ) -> str:
        workdir = bench.unfinished()
        before = contents(workdir / "checkpoints")
        strict = Process(workdir, "--config.strict=True", environment=environment, wrapper=wrapper)
        strict.must_end(2, REFUSAL, *phrases)
        check_same_contents(workdir / "checkpoints", before)
        run = Process(workdir, environment=environment, wrapper=wrapper)
        run.must_succeed()
        (told,) = [line for line in run.lines if line.startswith(WARNING)]
        for phrase in phrases:
            assert phrase in told, f"{phrase!r} is not in: {told}"
        assert f"going on from step {SAVED}" in run.lines
        return "refused if strict, else told in one line"

    def one_core() -> str:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2 or shutil.which("taskset") is None:
            raise UnavailableError("needs two cores and taskset")
        there = f"cores was '{len(cores)}' and is now '1'"
        return case([there], {}, ("taskset", "-c", str(cores[0])))

    def same() -> str:
        workdir = bench.unfinished()
        run = Process(workdir, "--config.strict=True")
        run.must_succeed()
        assert not any(line.startswith(WARNING) for line in run.lines)
        check_equal(workdir, bench.expected("--config.strict=True"))
        return "the same machine: strict goes on, the same bits"

    flag = "--xla_cpu_max_isa=AVX"
    cases: dict[str, Case] = {
        "one core": one_core,
        "instructions": lambda: case(["XLA_FLAGS was ", flag], {"XLA_FLAGS": flag}),
        "devices": lambda: case(
            ["devices was '1 cpu' and is now '2 cpu'"], {"JAX_NUM_CPU_DEVICES": "2"}
        ),
        "x64": lambda: case(
            ["jax_enable_x64 was 'False' and is now 'True'"], {"JAX_ENABLE_X64": "1"}
        ),
        "precision": lambda: case(
            ["jax_default_matmul_precision was 'None' and is now 'bfloat16'"],
            {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
        ),
        "same": same,
    }
    return bench.each(bench.selected(cases, "one core", "devices", "same"))
