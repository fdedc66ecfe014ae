"""What pods of Kubernetes and hosts of TPUs see: servers that know who they are, and files."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"  # of a pod; /var/run is a link to /run


@contextlib.contextmanager
def served(answer: Callable[[str], str | None], certificate: Path | None = None) -> Iterator[int]:
    """Yields the port of a server on this machine.

    Args:
      answer: returns what a path has; None: there is nothing.
      certificate: file with it and its key, for HTTPS; None: HTTP.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def api(jobset: dict[str, Any]) -> Callable[[str], str | None]:
    """Returns what Kubernetes answers about the pods of a JobSet, all of which have one address."""
    (replicated,) = jobset["spec"]["replicatedJobs"]
    name = jobset["metadata"]["name"]
    job = f"{name}-{replicated['name']}-0"
    labels = {"jobset.sigs.k8s.io/jobset-name": name}  # as JobSet's controller sets them
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": "1", "controller": True}
    pod = {
        "metadata": {"name": f"{job}-1-abcde", "ownerReferences": [owner]}
        | {"labels": labels | {"job-name": job}},
        "spec": {"containers": [], "hostname": f"{job}-1", "subdomain": name},
    }
    spec = replicated["template"]["spec"]
    objects = {
        "/api/v1/namespaces/default/pods": {"kind": "PodList", "items": [pod]},
        f"/apis/batch/v1/namespaces/default/jobs/{job}": {
            "kind": "Job",
            "metadata": {"name": job, "labels": labels},
            "spec": {"parallelism": spec["parallelism"], "template": spec["template"]},
        },
    }

    def answer(path: str) -> str | None:
        known = objects.get(path.partition("?")[0])
        return None if known is None else json.dumps(known)

    return answer


def late(answer: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """Returns a server's answers that knows nothing of a path when it is asked for the first time.

    As Kubernetes does of pods that have just started.
    """
    asked = set[str]()

    def of_path(path: str) -> str | None:
        if path not in asked:
            asked.add(path)
            return None
        return answer(path)

    return of_path


def missing() -> str:
    """Returns what a pod cannot be imitated without here, or nothing."""
    for program in ("openssl", "unshare"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "unshare --mount is not permitted"


def account(folder: Path) -> Path:
    """Makes the files of a pod's account in a folder; returns the certificate of its server."""
    certificate = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(certificate), "-out", str(folder / "ca.crt")]
    subprocess.run(command, check=True, capture_output=True)
    with certificate.open("a") as file:
        file.write((folder / "ca.crt").read_text())
    (folder / "token").write_text("token")
    (folder / "namespace").write_text("default")
    return certificate


def inside(folder: Path, hosts: list[str]) -> list[str]:
    """Returns the beginning of a command whose process sees an account, and knows host names."""
    names = ["localhost", socket.gethostname(), *hosts]  # on a CPU, JAX listens at its own name
    (folder / "hosts").write_text(f"127.0.0.1 {' '.join(names)}\n")
    script = (
        f"mount -t tmpfs none /run && mkdir -p {ACCOUNT} && cp {folder}/* {ACCOUNT} && "
        f'mount --bind {folder}/hosts /etc/hosts && exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
