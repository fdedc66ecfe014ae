"""`--distributed=auto` in pods of Kubernetes and on TPU hosts, which ask servers who they are.

JAX's own clients ask servers on this machine, in real processes, which meet.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.faults.process import ENVIRONMENT
from tests.system import pods

pytestmark = pytest.mark.process

MEET = """
import os, jax
if "GCE_METADATA_IP" in os.environ:
    del os.environ["TPU_SKIP_MDS_QUERY"]  # JAX sets it where it sees no TPU
from rnnjax.system import distributed
distributed.initialize("auto", "1.0")
print("is", jax.process_index(), "of", jax.process_count(), flush=True)
distributed.exit_process(0)
"""
TPU = {"JAX_FORCE_TPU_INIT": "1"}  # JAX is to believe that this is a TPU's host


def meet(root: Path, *environs: dict[str, str], wrapper: tuple[str, ...] = ()) -> None:
    """Starts processes with these environments, which must find each other."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = {"JAX_COORDINATOR_PORT": str(free.getsockname()[1])}
    processes = [
        subprocess.Popen(
            [*wrapper, sys.executable, "-c", MEET],
            cwd=root,
            env={**os.environ, **ENVIRONMENT, **port, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environ in environs
    ]
    for index, process in enumerate(processes):
        out, errors = process.communicate(timeout=120)
        assert f"is {index} of {len(environs)}" in out, errors


def test_tpu_slices_in_kubernetes(root: Path) -> None:
    """Two slices of a host each."""
    slices = TPU | {
        "TPU_SKIP_MDS_QUERY": "true",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost:8080",
        "MEGASCALE_NUM_SLICES": "2",
    }
    meet(root, *(slices | {"MEGASCALE_SLICE_ID": str(index)} for index in range(2)))


def test_hosts_of_a_tpu_slice(root: Path) -> None:
    """Each has a metadata server of its own, at an address that is the same in all."""

    def metadata(index: int) -> dict[str, str]:
        attributes = {
            "agent-worker-number": str(index),
            "worker-network-endpoints": "unknown:8470:localhost,unknown:8470:127.0.0.1",
            "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-16'\n",
        }
        folder = "/computeMetadata/v1/instance/attributes/"
        return {folder + name: value for name, value in attributes.items()}

    with pods.served(metadata(0).get) as first, pods.served(metadata(1).get) as second:
        hosts = (TPU | {"GCE_METADATA_IP": f"127.0.0.1:{port}"} for port in (first, second))
        meet(root, *hosts)


def test_pods_of_the_jobset_that_is_shipped(root: Path, tmp_path: Path) -> None:
    """Of two pods, since so many are needed to find each other; at first nobody knows them."""
    if reason := pods.missing():
        pytest.skip(reason)
    *_, jobset = yaml.safe_load_all((root / "deploy" / "jobset.yaml").read_text())
    jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"] = 2
    certificate = pods.account(tmp_path)
    names = [f"rnnjax-workers-0-{index}" for index in range(2)]
    wrapper = pods.inside(tmp_path, [*names, f"{names[0]}.rnnjax"])
    with pods.served(pods.late(pods.api(jobset)), certificate) as port:
        service = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        each = (
            service | {"HOSTNAME": name, "JOB_COMPLETION_INDEX": str(index)}
            for index, name in enumerate(names)
        )
        meet(root, *each, wrapper=(*wrapper,))
