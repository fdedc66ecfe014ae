"""A SLURM cluster of one node, this machine: its daemons run for a test, in a folder of its own."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.faults.process import PATIENCE

PATH = f"{os.environ['PATH']}:/usr/sbin"  # of daemons
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
# The node goes by a name that every machine knows, and has no GPU. Two tasks fit on one core.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={machine}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
NodeName=localhost NodeHostname={machine} NodeAddr=127.0.0.1 CPUs=2
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class UnavailableError(Exception):
    """This machine does not let a cluster be started."""


class Cluster:
    """Runs commands of a cluster.

    Args:
      folder: of its files.
      environment: of the commands, and of the jobs that they submit.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **environment,
            "PATH": f"{environment.get('PATH', '')}:{PATH}",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def run(self, *command: str) -> str:
        """Runs a command, which must succeed; returns what it prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Returns the state of a job, such as `RUNNING`."""
        return self.field(job, "JobState")

    def field(self, job: str, name: str) -> str:
        """Returns what `scontrol show job` says of a job."""
        shown = self.run("scontrol", "show", "job", job, "--oneliner")
        fields = (pair.partition("=") for pair in shown.split())
        return {field: value for field, _, value in fields}[name]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for a condition; an AssertionError says that it did not come true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
            time.sleep(0.1)


def missing() -> str:
    """Returns what there is no cluster without, or nothing."""
    programs = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"there is no {programs[0]}: apt-get install slurm-wlm" if programs else ""


@contextlib.contextmanager
def cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Yields a cluster, and ends its jobs and daemons.

    Raises:
      UnavailableError: if its daemons cannot run here.
    """
    controller, node = _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            machine=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            controller=controller,
            node=node,
        )
    )
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    running = Cluster(folder, environment)
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge"]
    munged += [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "seed")]
    with contextlib.ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
            stack.enter_context(_daemon(command, running))
        try:
            running.until(lambda: _is_idle(running), "no node")
        except AssertionError as error:
            log = (folder / "slurmd.log").read_text().splitlines()
            raise UnavailableError(f"{error}: {' | '.join(log[-3:])}") from error
        stack.callback(_end_jobs, running)
        yield running


@contextlib.contextmanager
def _daemon(command: list[str], running: Cluster) -> Iterator[None]:
    with (running.folder / f"{command[0]}.log").open("wb") as log:
        daemon = subprocess.Popen(command, env=running.environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(PATIENCE)


def _is_idle(running: Cluster) -> bool:
    command = ["sinfo", "--noheader", "--format=%T"]
    shown = subprocess.run(command, env=running.environment, capture_output=True, check=False)
    return shown.stdout.strip() == b"idle"


def _end_jobs(running: Cluster) -> None:
    """Has the node empty before its daemon ends, which would leave the jobs behind."""
    for job in running.run("squeue", "--noheader", "--format=%A").split():
        running.run("scancel", job)
    running.until(lambda: not running.run("squeue", "--noheader"), "jobs do not end")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("localhost", 0))
        return [free.getsockname()[1] for free in sockets]
