"""`--distributed=auto` in the environments of SLURM and Open MPI, as these set them."""

import os

import pytest
from kubernetes.client.exceptions import ApiException

from rnnjax import compat
from rnnjax.errors import ConfigError, RunError
from rnnjax.system import clusters

# What srun has set for the second of two tasks of job 17, as far as it counts them.
SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
# What mpirun 4.1 has set for the second of two processes of this machine.
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "740818944.0;tcp://192.0.2.2:58749;tcp6://[fd00::2]:44765",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
BATCH = {"SLURM_JOB_ID": "17", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests run in, no test is to see it."""
    for name in os.environ:
        if name.startswith(("SLURM_", "OMPI_", "JAX_COORDINATOR", "KUBERNETES_", "TPU_")):
            monkeypatch.delenv(name)


def place(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> clusters.Place:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return clusters.place("auto", patience_seconds=5)


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key != name}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (SLURM, ("node07:61457", 2, 1, [0])),
        (SLURM | {"SLURM_STEP_NODELIST": "a,b[1-2]"}, ("a:61457", 2, 1, [0])),
        (SLURM | {"JAX_COORDINATOR_PORT": "1234"}, ("node07:1234", 2, 1, [0])),
        (SLURM | {"JAX_LOCAL_DEVICE_IDS": "0,1"}, ("node07:61457", 2, 1, None)),
        (OPEN_MPI, ("192.0.2.2:62080", 2, 1, [1])),
        (OPEN_MPI | {"JAX_COORDINATOR_ADDRESS": "a:1234"}, ("a:1234", 2, 1, [1])),
        # In an allocation of SLURM, where the script or a daemon of mpirun is what SLURM started.
        (OPEN_MPI | BATCH, ("192.0.2.2:62080", 2, 1, [1])),
        (
            OPEN_MPI | SLURM | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}
            | {"OMPI_COMM_WORLD_LOCAL_RANK": "0"},
            ("192.0.2.2:62080", 2, 0, [0]),
        ),
    ],
)  # fmt: skip
def test_what_a_launcher_says_is_understood(
    environ: dict[str, str], expected: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place(monkeypatch, environ) == expected


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        (BATCH, "SLURM_JOB_ID=17 has SLURM_NTASKS=2, but this process is none of its tasks"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, "SLURM_NTASKS=2, but SLURM_STEP_NUM_TASKS=1"),
        (SLURM | {"SLURM_PROCID": "2"}, "SLURM_PROCID=2, but SLURM_NTASKS=2"),
        (SLURM | {"SLURM_LOCALID": "2"}, "SLURM_LOCALID=2, but SLURM_PROCID=1"),
        (SLURM | {"SLURM_PROCID": "-1"}, "SLURM_PROCID=-1 is no number"),
        (SLURM | {"SLURM_NTASKS": "two"}, "SLURM_NTASKS=two is no number"),
        (without(SLURM, "SLURM_JOB_ID"), "SLURM_JOB_ID is not set, but SLURM_NTASKS=2"),
        (without(SLURM, "SLURM_PROCID"), "SLURM_PROCID is not set, but SLURM_NTASKS=2"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "3"}, "WORLD_RANK=3, but OMPI_COMM_WORLD_SIZE=2"),
        (
            without(OPEN_MPI, "OMPI_COMM_WORLD_RANK"),
            "WORLD_RANK is not set, but OMPI_COMM",
        ),
        (
            SLURM | OPEN_MPI | {"SLURM_PROCID": "0"},
            "process 0 of 2 as SLURM says, but process 1 of 2 as Open MPI says",
        ),
        (
            SLURM | OPEN_MPI | {"SLURM_STEP_NUM_TASKS": "3"},
            "process 1 of 3 as SLURM says, but process 1 of 2 as Open MPI says",
        ),
        (without(OPEN_MPI, "OMPI_MCA_orte_hnp_uri"), "Open MPI 5"),
        (
            OPEN_MPI | {"CUDA_VISIBLE_DEVICES": "3", "JAX_PLATFORMS": "cuda"},
            "is to use GPU 1, but CUDA_VISIBLE_DEVICES=3 shows 1",
        ),
        (SLURM | {"JAX_COORDINATOR_ADDRESS": "a"}, "JAX_COORDINATOR_ADDRESS=a is not HOST:PORT"),
        (SLURM | {"JAX_COORDINATOR_PORT": "ten"}, "JAX_COORDINATOR_PORT=ten is not a port"),
        (SLURM | {"JAX_LOCAL_DEVICE_IDS": "0,x"}, "JAX_LOCAL_DEVICE_IDS=0,x is not numbers of"),
        ({"SLURM_CONF": "/etc/slurm/slurm.conf"}, "there is no SLURM, Open MPI, Kubernetes or TPU"),
    ],
)
def test_contradictions_end_in_a_line_with_both_values(
    environ: dict[str, str], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as raised:
        place(monkeypatch, environ)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_gpus_that_a_process_sees_are_no_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = OPEN_MPI | {"CUDA_VISIBLE_DEVICES": "2,3", "JAX_PLATFORMS": "cuda"}
    assert place(monkeypatch, seen).local_device_ids == [1]


@pytest.mark.parametrize("hidden", ["-1", "NoDevFiles"])
def test_processes_that_hide_all_gpus_compute_on_the_cpu(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place(monkeypatch, OPEN_MPI | {"CUDA_VISIBLE_DEVICES": hidden}).process_index == 1


@pytest.mark.parametrize(("status", "error"), [(403, ConfigError), (503, RunError)])
def test_what_kubernetes_refuses_is_a_setting_and_what_it_cannot_say_is_not(
    status: int, error: type[RunError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own errors, which are raised as JAX does where it asks."""

    def ask(patience_seconds: int) -> None:
        cause = ApiException(status)
        raise RuntimeError(f"Kubernetes API Error: {status}") from cause

    monkeypatch.setattr(compat, "launched", ask)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    with pytest.raises(RunError, match=str(status)) as raised:
        clusters.place("auto", patience_seconds=0)
    assert type(raised.value) is error


def test_an_address_by_hand() -> None:
    by_hand = clusters.place("[::1]:1234,2,1", patience_seconds=5)
    assert (by_hand.host, by_hand.port, by_hand.local_device_ids) == ("::1", 1234, None)
    with pytest.raises(ConfigError, match="this is process 2 of 2"):
        clusters.place("node1:1234,2,2", patience_seconds=5)
