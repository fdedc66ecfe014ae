"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017) through TFDS's own builder, offline where it can be.

It is looked for as prepared by TFDS before, then as the four original files on disk, then on the
network. Files and downloads are held to the sha256 that TFDS has registered.
"""

import hashlib
import struct
import tempfile
from pathlib import Path
from typing import Any

from rnnjax.data.builders import check_network, data_folder, locked, open_builder
from rnnjax.data.records import Arrays, DamagedError, read
from rnnjax.errors import DataError
from rnnjax.system.files import local_path, move_aside
from rnnjax.system.messages import warn

DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")

# Debian's package build strips each gzip header of the file's name and sets its time to the
# package's; with these original times (seconds since 1970) the registered bytes come back.
ORIGINAL_TIMES = {
    "train-images-idx3-ubyte.gz": 1504176606,
    "train-labels-idx1-ubyte.gz": 1504176606,
    "t10k-images-idx3-ubyte.gz": 1504176627,
    "t10k-labels-idx1-ubyte.gz": 1504176627,
}


def load(data_dir: str, idx_dir: str) -> tuple[Arrays, Arrays]:
    """Returns the 60,000 training images and the 10,000 test images with labels.

    Prepared records that are damaged are moved aside with a line on standard error, and prepared
    again from the originals.

    Args:
      data_dir: TFDS's data folder; empty: its default.
      idx_dir: folder of the four original files; empty: where Debian's package puts them.

    Raises:
      DataError: if there is no data to be had, or it is not the original.
    """
    import tensorflow_datasets as tfds  # takes seconds: not before there is a run

    version = tfds.builder_cls("fashion_mnist").VERSION
    root = data_folder(data_dir)
    originals = local_path("config.data.idx_dir", idx_dir) if idx_dir else None
    folder = root / "fashion_mnist" / str(version)
    try:
        before = _identity(folder)
        try:
            return _load(root, originals)
        except DamagedError as error:
            _move_aside(folder, before, error)
        return _load(root, originals)
    except OSError as error:
        raise DataError(
            f"config.data.data_dir={data_dir!r}: {error}; name a folder that can be written"
        ) from error


def _load(root: Path, originals: Path | None) -> tuple[Arrays, Arrays]:
    builder = open_builder("fashion_mnist", root)
    if not builder.is_prepared():
        prepare(builder, originals)
        # A builder does not notice that another run has prepared it.
        builder = open_builder("fashion_mnist", root)
    return read(builder, "train"), read(builder, "test")


def _identity(folder: Path) -> int | None:
    return folder.stat().st_ino if folder.exists() else None


def _move_aside(folder: Path, before: int | None, error: DamagedError) -> None:
    """Gives a folder of damaged records another name, unless it is a new one meanwhile."""
    with locked(folder.parents[1] / "fashion_mnist.lock"):
        if _identity(folder) != before:
            return
        aside = folder.with_name(move_aside(folder))
    warn(f"the prepared data is damaged ({error}); moved to {aside}, it is prepared again")


def prepare(builder: Any, idx_dir: Path | None) -> None:
    """Lets the builder write its records, from files on disk or else from the network."""
    import tensorflow_datasets as tfds

    root = Path(builder.data_path).parents[1]
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / "fashion_mnist.lock"), tempfile.TemporaryDirectory() as scratch:
        if builder.is_prepared():
            return
        originals = Path(scratch)
        if idx_dir or _complete(DEBIAN_DIR):
            restore_originals(idx_dir or DEBIAN_DIR, builder, originals)
            tfds.disable_progress_bar()
        else:
            check_network(builder, "Fashion-MNIST", REMEDIES)
        download = tfds.download.DownloadConfig(
            manual_dir=originals, extract_dir=originals / "extracted", try_download_gcs=False
        )
        try:
            builder.download_and_prepare(
                download_dir=originals / "downloads", download_config=download
            )
        except Exception as error:  # the downloader raises what its libraries raise
            raise DataError(f"preparing Fashion-MNIST failed: {error}; {REMEDIES}") from error


REMEDIES = (
    "there are three ways on: install Debian's package (apt-get install dataset-fashion-mnist); or "
    "put the four original .gz files into a folder and name it, --config.data.idx_dir=DIR; or run "
    "once with a network, or with --config.data.data_dir=DIR where TFDS has prepared it"
)


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ORIGINAL_TIMES)


def restore_originals(folder: Path, builder: Any, target: Path) -> None:
    """Copies the four files, each with its original bytes, to where the builder looks for them.

    Raises:
      DataError: naming a file that is missing, or whose checksum is not the registered one.
    """
    registered = {info.filename: info for info in builder.url_infos.values()}
    for name in ORIGINAL_TIMES:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing; {REMEDIES}")
        try:
            size, most = path.stat().st_size, int(registered[name].size)
            if size > most:  # it may be larger than the memory
                raise DataError(
                    f"{path} is altered: it has {size} bytes, the original {most}; fetch the file "
                    "again"
                )
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        original = with_original_header(content, name)
        digest, original_digest = (hashlib.sha256(c).hexdigest() for c in (content, original))
        checksum = registered[name].checksum
        if checksum not in (digest, original_digest):
            raise DataError(
                f"{path} is truncated or altered: its sha256 is {digest}, of the original it is "
                f"{checksum}; fetch the file again"
            )
        (target / name).write_bytes(content if digest == checksum else original)


def with_original_header(content: bytes, name: str) -> bytes:
    """Returns a gzip file with the header that gzip wrote: flag, time, name (RFC 1952)."""
    header = struct.pack("<4sIBB", b"\x1f\x8b\x08\x08", ORIGINAL_TIMES[name], 0, 3)
    return header + name.removesuffix(".gz").encode() + b"\0" + content[10:]
