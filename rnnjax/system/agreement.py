"""What the processes of a run agree on before it begins; the primary one says who does not."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from rnnjax import stored_config
from rnnjax.config import Config
from rnnjax.errors import ConfigError, DataError, RunError
from rnnjax.system.distributed import PrimaryProcessError, broadcast_from_primary, is_primary

OF_A_MACHINE = ("data.data_dir", "data.idx_dir")  # settings that may be others on another one
T = TypeVar("T")


def check_same_devices() -> None:
    """Raises an error, in all processes, unless all have equally many devices.

    Before all else, since with other numbers of devices processes cannot tell each other anything;
    JAX has told them this.

    Raises:
      ConfigError: in the primary process, which says who has how many; in the others a
        PrimaryProcessError.
    """
    counts = [len(jax.local_devices(process)) for process in range(jax.process_count())]
    differing = [index for index, count in enumerate(counts) if count != counts[0]]
    if not differing:
        return
    if not is_primary():
        raise PrimaryProcessError(ConfigError.exit_code)
    raise ConfigError(
        f"the processes of one run need equally many devices: the primary process has {counts[0]}, "
        f"process {differing[0]} has {counts[differing[0]]}"
    )


def check_same_settings(config: Config) -> None:
    """Raises an error, in all processes, unless all have the primary one's settings.

    Raises:
      ConfigError: in the primary process, which says who has what; in the others a
        PrimaryProcessError.
    """
    settings = stored_config.to_dict(config)
    _check_same(
        "settings",
        {f"config.{name}": settings[name] for name in settings if name not in OF_A_MACHINE},
        ConfigError,
    )


def check_same_data(digests: Callable[[], Mapping[str, str]]) -> None:
    """Raises an error, in all processes, unless all have the primary one's data.

    Args:
      digests: returns one of each part, by name; it is called if there are several processes.

    Raises:
      DataError: in the primary process, which says who has what; in the others a
        PrimaryProcessError.
    """
    if jax.process_count() > 1:
        _check_same("data", digests(), DataError)


def _check_same(what: str, own: Mapping[str, Any], error: type[RunError]) -> None:
    of_all = _gather(own)
    primary = of_all[0]
    differing = [index for index, other in enumerate(of_all) if other != primary]

    def compare() -> None:
        if differing:
            first, *more = differing
            other = of_all[first]
            values = "; ".join(
                f"{name} is {primary.get(name)!r} in the primary process, {other.get(name)!r} in "
                f"process {first}"
                for name in {**primary, **other}
                if primary.get(name) != other.get(name)
            )
            also = f" ({len(more)} more differ as well)" if more else ""
            raise error(f"the processes of one run need the same {what}: {values}{also}")

    broadcast_from_primary(compare)


def succeed_in_all(action: Callable[[], T]) -> T:
    """Returns what a function returns in this process, if it raises no RunError in any.

    Raises:
      RunError: with the message and the exit code of the first process that raised one, in the
        primary process; in the others a PrimaryProcessError.
    """
    failure: RunError | None = None
    result: Any = None
    try:
        result = action()
    except RunError as error:
        failure = error
    own = None if failure is None else {"exit_code": failure.exit_code, "message": str(failure)}
    failures = _gather(own)

    def refuse() -> None:
        if failure is not None:
            raise failure
        for index, other in enumerate(failures):
            if other is not None:
                raise OtherProcessError(index, other["message"], other["exit_code"])

    broadcast_from_primary(refuse)
    return result


class OtherProcessError(RunError):
    """Another process than the primary one could not go on."""

    def __init__(self, index: int, message: str, exit_code: int) -> None:
        super().__init__(f"process {index}: {message}")
        self.exit_code = exit_code


def _gather(own: Any) -> list[Any]:
    """Returns what each process gives, which JSON has, in all of them."""
    if jax.process_count() == 1:
        return [own]
    message = json.dumps(own).encode()
    sizes = process_allgather(np.int32(len(message)))
    padded = np.frombuffer(message.ljust(int(max(sizes))), np.uint8)
    rows = process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
