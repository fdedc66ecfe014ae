"""The files of deploy/: valid where they are used, and true to what the commands do.

`tests/system/test_launchers.py` submits the batch script, `test_pods.py` has pods meet.
"""

import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_trainer_api.models import JobsetV1alpha2JobSet
from kubernetes import client

from rnnjax.errors import ConfigError, DataError, RunError
from rnnjax.system.signals import exit_code

STOPPED = exit_code(signal.SIGTERM)


@pytest.fixture
def objects(root: Path) -> list[dict[str, Any]]:
    """Of Kubernetes."""
    return list(yaml.safe_load_all((root / "deploy" / "jobset.yaml").read_text()))


@pytest.fixture
def job(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The specification of the job that the JobSet makes."""
    (replicated,) = objects[-1]["spec"]["replicatedJobs"]
    assert replicated["replicas"] == 1  # JAX knows of one job alone
    return replicated["template"]["spec"]


def test_kubernetes_knows_every_field(objects: list[dict[str, Any]]) -> None:
    """What it does not know is not there after a round trip."""
    account, role, binding, jobset = objects
    known: Any = JobsetV1alpha2JobSet.from_dict(jobset)
    assert known.to_dict() == jobset
    for model, described in (
        (client.V1ServiceAccount, account),
        (client.V1Role, role),
        (client.V1RoleBinding, binding),
    ):
        known = model.from_dict(described)
        assert known.model_dump(by_alias=True, exclude_none=True) == described


def test_each_pod_may_ask_which_one_it_is(
    objects: list[dict[str, Any]], job: dict[str, Any]
) -> None:
    account, role, binding, _ = objects
    name = job["template"]["spec"]["serviceAccountName"]
    assert account["metadata"]["name"] == name
    assert [subject["name"] for subject in binding["subjects"]] == [name]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    permitted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert permitted == {("", "pods", "list"), ("batch", "jobs", "get")}
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]


def test_what_follows_from_an_exit_code(job: dict[str, Any]) -> None:
    """A pod that was stopped is started again, one with wrong settings is not."""
    follows = {
        code: rule["action"]
        for rule in job["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", ())
    }
    assert follows == {ConfigError.exit_code: "FailJob", STOPPED: "Ignore"}
    assert DataError.exit_code == ConfigError.exit_code
    assert RunError.exit_code not in follows  # all pods are started again
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # else there is no such policy


def test_the_arguments_of_a_pod(job: dict[str, Any], root: Path) -> None:
    (container,) = job["template"]["spec"]["containers"]
    arguments = dict(argument.removeprefix("--").split("=") for argument in container["args"])
    assert arguments.keys() == {"distributed", "workdir", "config"}
    assert (root / arguments["config"]).is_file()
    (volume,) = container["volumeMounts"]
    assert arguments["workdir"].startswith(f"{volume['mountPath']}/")


@pytest.fixture
def instructions(root: Path) -> list[tuple[str, str]]:
    """Of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (root / "deploy" / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_the_image_has_what_it_names(instructions: list[tuple[str, str]], root: Path) -> None:
    for name, arguments in instructions:
        for source in shlex.split(arguments)[:-1] if name == "COPY" else ():
            assert (root / source).exists(), source
    project = (root / "pyproject.toml").read_text()
    (extras,) = (value for name, value in instructions if value.startswith("EXTRAS="))
    for extra in extras.partition("=")[2].split(","):
        assert f"\n{extra} = [" in project


def test_the_image_runs_as_a_user_and_hears_signals(instructions: list[tuple[str, str]]) -> None:
    assert instructions[0][0] == "ARG"  # what it is made from
    last = dict(instructions)
    user, _ = map(int, last["USER"].split(":"))
    assert user > 0  # as a number, since Kubernetes has to know that it is not root
    assert yaml.safe_load(last["ENTRYPOINT"]) == ["python", "-m", "rnnjax.main"]


def test_a_job_is_requeued_when_it_was_stopped(root: Path) -> None:
    script = (root / "deploy" / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, re.MULTILINE))
    assert {"requeue", "open-mode"} <= options.keys()
    assert options["signal"].startswith("TERM@")  # to the processes, not to the script: B:
    assert f'"$code" -eq {STOPPED} ]' in script
