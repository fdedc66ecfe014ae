"""TFDS's builders: opened by name, and how one process at a time prepares what they build."""

import contextlib
import difflib
import fcntl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rnnjax.data.records import DamagedError
from rnnjax.errors import ConfigError, DataError, did_you_mean
from rnnjax.system.files import local_path

CATALOGUE = "https://www.tensorflow.org/datasets/catalog"
PROBE_SECONDS = 5  # of waiting for the network


def data_folder(data_dir: str) -> Path:
    """Returns the folder that `config.data.data_dir` names; empty: TFDS's default."""
    from tensorflow_datasets.core.constants import DATA_DIR  # takes seconds: not before a run

    return local_path("config.data.data_dir", data_dir or DATA_DIR)


def open_builder(name: str, root: Path) -> Any:
    """Returns TFDS's builder of a data set, which reads no image.

    Args:
      name: `SET`, `SET/VARIANT` or `SET:VERSION`, known to TFDS or prepared in the folder.
      root: TFDS's data folder.

    Raises:
      ConfigError: if there is no such set, variant or version.
      DamagedError: if what its folder says of it cannot be read.
    """
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    try:
        return tfds.builder(name, data_dir=root)
    except DatasetNotFoundError as error:
        known = ["garments", *tfds.list_builders(with_community_datasets=False), *_folders(root)]
        close = difflib.get_close_matches(name.split(":")[0], known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"TFDS's sets are listed on {CATALOGUE}"
        raise ConfigError(
            f"config.data.name={name!r} is neither a set of TFDS nor one in {root}; {hint}"
        ) from error
    except (ValueError, AssertionError, ParseError, ImportError) as error:
        _refuse(name, root, error)


def _refuse(name: str, root: Path, error: Exception) -> NoReturn:
    """Says which part of a set's name is wrong, or that its folder is."""
    import tensorflow_datasets as tfds

    reason = str(error).splitlines()[0].rpartition('": ')[2]  # after what the builder was given
    own, _, variant = name.split(":")[0].partition("/")
    is_registered = own in tfds.list_builders(with_community_datasets=False)
    variants = getattr(tfds.builder_cls(own), "builder_configs", {}) if is_registered else {}
    if is_registered and variant and variant not in variants:
        hint = did_you_mean(variant, variants) if variants else f"{own!r} has none"
        raise ConfigError(f"config.data.name={name!r}: no variant {variant!r}; {hint}") from error
    if isinstance(error, AssertionError | ImportError):  # another version, or a package is missing
        raise ConfigError(f"config.data.name={name!r}: {reason}") from error
    reason = reason.split(": ")[-1]
    raise DamagedError(f"dataset_info.json in {root}/{own}: {reason}") from error


def _folders(root: Path) -> list[str]:
    return [folder.name for folder in root.iterdir()] if root.is_dir() else []


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process at a time prepare; the kernel frees the lock when its holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_network(builder: Any, title: str, remedies: str) -> None:
    """Asks the download's server once, since TFDS would retry for minutes.

    Args:
      builder: of the data set.
      title: what people call it.
      remedies: what they can do without a network.

    Raises:
      DataError: if no answer comes within `PROBE_SECONDS`.
    """
    if not builder.url_infos:  # TFDS does not know before what it will ask for
        return
    url = min(builder.url_infos)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:  # an answer, of a server that may want another question
            return
        except Exception as error:
            failures.append(error)

    # In a thread, because a name server that does not answer has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if thread.is_alive() or failures:
        reason = failures[0] if failures else f"no answer within {PROBE_SECONDS} s"
        raise DataError(f"no {title} on this machine, and no download ({reason}); {remedies}")
