"""Which process of a run this one is, as it was told or as what has started it says.

SLURM and Open MPI tell a process in its environment, the first host of a TPU pod and Kubernetes
answer when asked. JAX knows where each of them has it. What it does not do is look twice: variables
that contradict each other would have processes wait for some that never come.
"""

import importlib.util
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rnnjax import compat
from rnnjax.errors import ConfigError, RunError

BY_HAND = "elsewhere say --distributed=HOST:PORT,PROCESSES,INDEX"
REFUSED = (401, 403)  # of HTTP: the pod's account may not ask
RETRY_SECONDS = 1.0
# What JAX asks of SLURM and of Open MPI: how many, which, and which of its machine.
SLURM = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
OPEN_MPI = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
# What JAX reads in any cluster: the name, what it has to look like, what that is called.
JAX_VARIABLES = (
    ("JAX_COORDINATOR_ADDRESS", r".+:\d+", "HOST:PORT"),
    ("JAX_COORDINATOR_PORT", r"\d+", "a port"),
    ("JAX_LOCAL_DEVICE_IDS", r"\d+(,\d+)*", "numbers of devices, such as 0,1"),
)


class Place(NamedTuple):
    """A process among those of its run."""

    address: str  # HOST:PORT, where process 0 listens
    num_processes: int
    process_index: int
    local_device_ids: Sequence[int] | None  # of its machine's GPUs, those it is to use; None: all

    @property
    def host(self) -> str:
        """Without the brackets around the colons of an IPv6 address."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Where process 0 listens."""
        return int(self.address.rpartition(":")[2])


def place(cluster: str, patience_seconds: int) -> Place:
    """Returns which process this is.

    Args:
      cluster: `HOST:PORT,PROCESSES,INDEX`, or `auto`: as what has started it says.
      patience_seconds: how long a machine may take to be known by its name, in a TPU pod and in
        Kubernetes.

    Raises:
      ConfigError: if nothing has started it that says so, or what is said contradicts itself.
      RunError: if Kubernetes does not know in time.
    """
    if problem := malformed_variable(os.environ):
        raise ConfigError(f"--distributed: {problem}")
    devices = None
    if cluster == "auto":
        address, count, index, devices = _launched(patience_seconds)
    else:
        address, *numbers = cluster.split(",")
        count, index = map(int, numbers)
    if not index < count:
        raise ConfigError(
            f"--distributed={cluster}: an INDEX is from 0 to PROCESSES - 1; this is process "
            f"{index} of {count}"
        )
    return Place(address, count, index, devices)


def _launched(patience_seconds: int) -> tuple[str, int, int, Sequence[int] | None]:
    contradiction = (
        slurm_contradiction(os.environ)
        or open_mpi_contradiction(os.environ)
        or contradiction_of_both(os.environ)
    )
    if contradiction:
        raise ConfigError(f"--distributed=auto: {contradiction}")
    address, count, index, devices = _ask(patience_seconds)
    if address is None or count is None or index is None:
        raise ConfigError(f"--distributed=auto: {_no_launcher(os.environ)}; {BY_HAND}")
    if devices and (hidden := hidden_device(devices, os.environ)):
        raise ConfigError(f"--distributed=auto: {hidden}")
    return address, count, index, devices


def _ask(patience_seconds: int) -> compat.Launched:
    """Returns what JAX finds out.

    Kubernetes may not know yet which pod this is, nor have a name for the first one, which is
    waiting for room: it is asked again, and what it says in the end is no fault of the settings.
    """
    end = time.monotonic() + patience_seconds
    while True:
        try:
            return compat.launched(patience_seconds)
        except Exception as error:  # of any library that asks a server
            reason = str(error).splitlines()[0] if str(error) else ""
            message = f"--distributed=auto: {type(error).__name__}: {reason}; {BY_HAND}"
            is_refused = getattr(error.__cause__, "status", None) in REFUSED
            if is_refused or "KUBERNETES_SERVICE_HOST" not in os.environ:
                raise ConfigError(message) from error
            if time.monotonic() > end:
                raise RunError(message) from error
        time.sleep(RETRY_SECONDS)


def malformed_variable(environ: Mapping[str, str]) -> str:
    """Returns which variable of JAX is not what JAX takes for granted that it is, or nothing."""
    for name, pattern, what in JAX_VARIABLES:
        value = environ.get(name)
        if value is not None and not re.fullmatch(pattern, value):
            return f"{name}={value} is not {what}"
    return ""


def slurm_contradiction(environ: Mapping[str, str]) -> str:
    """Returns how SLURM's variables contradict each other, or nothing."""
    if not {"SLURM_JOB_ID", "SLURM_PROCID"} & environ.keys() or OPEN_MPI[0] in environ:
        return ""  # in a job, mpirun may be what starts processes
    job, tasks = environ.get("SLURM_JOB_ID"), environ.get("SLURM_NTASKS", "1")
    if "SLURM_STEP_NODELIST" not in environ:
        return (
            f"job SLURM_JOB_ID={job} has SLURM_NTASKS={tasks}, but this process is none of its "
            "tasks, since SLURM_STEP_NODELIST is not set: srun starts them"
        )
    if problem := _wrong_numbers(environ, *SLURM, needed="SLURM_JOB_ID"):
        return problem
    step_tasks = environ.get("SLURM_STEP_NUM_TASKS", tasks)
    if step_tasks != tasks:
        return (
            f"SLURM_NTASKS={tasks}, but SLURM_STEP_NUM_TASKS={step_tasks}: srun starts all tasks "
            "of an allocation"
        )
    return ""


def open_mpi_contradiction(environ: Mapping[str, str]) -> str:
    """Returns how Open MPI's variables contradict each other, or nothing."""
    return _wrong_numbers(environ, *OPEN_MPI) if {*OPEN_MPI} & environ.keys() else ""


def _wrong_numbers(
    environ: Mapping[str, str], count: str, index: str, local: str, *, needed: str = ""
) -> str:
    """Returns what is wrong with the number of a process, or nothing.

    Args:
      environ: of the process.
      count: variable that has how many processes there are.
      index: that has which this is.
      local: that has which it is of its machine.
      needed: another one that has to be a number.
    """
    names = [count, index, local, *([needed] if needed else [])]
    present = {name: environ[name] for name in names if name in environ}
    for name in names:
        if name not in present:
            other, value = next(iter(present.items()))
            return f"{name} is not set, but {other}={value}"
        if not present[name].isdecimal():
            return f"{name}={present[name]} is no number"
    if not int(present[index]) < int(present[count]):
        return f"{index}={present[index]}, but {count}={present[count]}, and they count from 0"
    if int(present[local]) > int(present[index]):
        return (
            f"{local}={present[local]}, but {index}={present[index]}: there cannot be more "
            "processes before this one on its machine than in all"
        )
    return ""


def contradiction_of_both(environ: Mapping[str, str]) -> str:
    """Returns how srun and mpirun, if both have started processes, say different things.

    SLURM's variables alone tell nothing here: mpirun has its own daemons started by srun, and they
    leave their number to the processes of other machines. So only mpirun on one machine is looked
    at.
    """
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_NUM_TASKS")
    size, local_size, tasks = (environ.get(name, "") for name in names)
    if not size or size != local_size or tasks in ("", "1"):
        return ""
    theirs = f"process {environ['OMPI_COMM_WORLD_RANK']} of {size}"
    slurms = f"process {environ.get('SLURM_PROCID')} of {tasks}"
    if theirs == slurms:
        return ""
    return (
        f"this is {slurms} as SLURM says, but {theirs} as Open MPI says: either srun or mpirun "
        "starts the processes"
    )


def hidden_device(local_device_ids: Sequence[int], environ: Mapping[str, str]) -> str:
    """Returns which GPU a process is to use, but cannot see, or nothing."""
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    number = len(visible.split(","))
    shows_none = visible in ("", "-1", "NoDevFiles")  # which is how one computes on the CPU
    if shows_none or max(local_device_ids) < number or environ.get("JAX_PLATFORMS") == "cpu":
        return ""
    return (
        f"process {local_device_ids[0]} of this machine is to use GPU {local_device_ids[0]}, but "
        f"CUDA_VISIBLE_DEVICES={visible} shows {number}: let each see all (SLURM: --gpus-per-node, "
        "not --gpus-per-task)"
    )


def _no_launcher(environ: Mapping[str, str]) -> str:
    if OPEN_MPI[0] in environ:
        return "Open MPI 5 does not say where its first process is"
    if "KUBERNETES_SERVICE_HOST" in environ and importlib.util.find_spec("kubernetes") is None:
        return "Kubernetes is asked with its package: pip install -e '.[k8s]'"
    return "there is no SLURM, Open MPI, Kubernetes or TPU pod here"
