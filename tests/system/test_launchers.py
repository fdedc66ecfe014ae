"""Runs that mpirun and SLURM start, told to stop and started again: as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import several
from tests.faults.outcome import Outcome, check_equal, outcome
from tests.faults.process import ENVIRONMENT, PATIENCE
from tests.system import slurm

pytestmark = pytest.mark.process

# Fewer evaluations than the faults need.
SETTINGS = ("--config.eval_every_steps=24", "--config.eval_batch_size=500")
STOPPED = "SIGTERM: stopped after step"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What two processes come to that nothing happens to."""
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    several.finish(workdir, *SETTINGS)
    return outcome(workdir)


def arguments(workdir: Path, root: Path) -> list[str]:
    return [f"--workdir={workdir}", f"--config={root}/tests/faults/quick.py", *SETTINGS]


def test_mpirun(root: Path, tmp_path: Path, expected: Outcome) -> None:
    """The second process is told to stop, and all save."""
    if shutil.which("mpirun") is None:
        pytest.skip("there is no mpirun: apt-get install openmpi-bin")
    workdir, log = tmp_path / "run", tmp_path / "log"
    # Bound to cores, as it would have them, they would end with other last bits.
    command = ["mpirun", "-n", "2", "--oversubscribe", "--bind-to", "none"]
    command += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    command += [sys.executable, "-m", "rnnjax.main", "--distributed=auto"]
    command += arguments(workdir, root)
    # Debian's hwloc asks ports from 6000 on whether they are displays, and waits for ever where
    # something else listens, such as TensorBoard.
    environment = {**os.environ, **ENVIRONMENT, "HWLOC_COMPONENTS": "-gl"}
    codes = []
    for stops in (True, False):
        with log.open("w") as file:
            run = subprocess.Popen(command, cwd=root, stdout=file, stderr=file, env=environment)
        if stops:
            wait_for(log, "step     12", run)
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGTERM)
        codes.append(run.wait(PATIENCE))
        assert log.read_text().count(STOPPED) == 2 * stops, log.read_text()
    assert codes == [143, 0]
    check_equal(workdir, expected)


def wait_for(log: Path, words: str, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while words not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


def test_sbatch(root: Path, tmp_path: Path, expected: Outcome) -> None:
    """The file that is shipped: SLURM tells its job to stop, which has itself requeued."""
    if reason := slurm.missing():
        pytest.skip(reason)
    workdir, log = tmp_path / "run", tmp_path / "log"
    folder = tmp_path / "slurm"
    folder.mkdir()
    python = str(Path(sys.executable).parent)
    try:
        with slurm.cluster(folder, {**ENVIRONMENT, "PATH": python}) as cluster:
            job = cluster.run(
                "sbatch", "--parsable", f"--output={log}", f"--chdir={root}",
                "--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1",
                str(root / "deploy" / "slurm.sbatch"), *arguments(workdir, root),
            )  # fmt: skip
            cluster.until(lambda: log.exists() and "step     12" in log.read_text(), "step 12")
            cluster.run("scancel", "--signal=TERM", job)
            cluster.until(lambda: cluster.state(job) == "PENDING", "requeued")
            assert log.read_text().count(STOPPED) == 2, log.read_text()
            # SLURM would wait for two minutes; but its node refuses a job in the very second in
            # which it has ended it.
            cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now+5")
            ended = ("COMPLETED", "FAILED", "CANCELLED")
            cluster.until(lambda: cluster.state(job) in ended, "ended")
            assert cluster.state(job) == "COMPLETED", log.read_text()
            assert cluster.field(job, "Restarts") == "1"
    except slurm.UnavailableError as error:
        pytest.skip(str(error))
    assert "going on from step" in log.read_text()
    check_equal(workdir, expected)
