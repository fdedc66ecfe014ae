"""A cell by its name: a registered one, or a class in a file or a package of the user's own.

A file is code. It is run from where the user has named it, never from the workdir of a run, and the
sha256 of what is run stands in the settings of each run.
"""

import contextlib
import copy
import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn

from rnnjax.cells import CELLS
from rnnjax.config import Config, ModelConfig
from rnnjax.errors import ConfigError, did_you_mean, own_place

FORMS = "own cells go by FILE.py:CLASS or PACKAGE.MODULE:CLASS"


def is_own(name: str) -> bool:
    """Whether a cell goes by a name that is not registered."""
    return name not in CELLS


def cell_class(name: str) -> type[Any]:
    """Returns the class of a cell. A file is run once for each content that it has had.

    Args:
      name: a key of `CELLS`, `FILE.py:CLASS` or `PACKAGE.MODULE:CLASS`.

    Raises:
      ConfigError: if there is no such cell, or its file fails.
    """
    if not is_own(name):
        return CELLS[name]
    module_name, class_name = _split(name)
    file = _file(module_name)
    module = _import(name, module_name) if file is None else _run(name, file)
    cell: Any = getattr(module, class_name, None)
    if not (isinstance(cell, type) and issubclass(cell, nn.RNNCellBase)):
        cells = [key for key, value in vars(module).items() if _is_cell_of(value, module)]
        hint = did_you_mean(class_name, cells) if cells else "it has no class that is one"
        raise ConfigError(f"config.model.cell={name!r}: {class_name!r} is no cell there; {hint}")
    return cell


def locate(config: Config, workdir: Path) -> Config:
    """Returns settings that say where an own cell is, and of what sha256, from now on.

    Args:
      config: the settings, whose cell may be in a file relative to the current folder.
      workdir: of the run, from where nothing is run.

    Raises:
      ConfigError: if there is no such cell, it is in the workdir, or it is not of the sha256 that
        the settings ask for.
    """
    model = config.model
    if not is_own(model.cell):
        if model.cell_sha256:
            raise ConfigError(
                f"config.model.cell_sha256={model.cell_sha256!r} is of a cell of one's own, and "
                f"{model.cell!r} is registered"
            )
        return config
    module_name, class_name = _split(model.cell)
    check_outside(model, workdir)
    sha256 = current_sha256(model)
    if model.cell_sha256 not in ("", sha256):
        raise ConfigError(f"config.model.cell_sha256={model.cell_sha256!r}, but {changed(model)}")
    located = copy.deepcopy(config)
    if file := _file(module_name):
        located.model.cell = f"{file}:{class_name}"
    located.model.cell_sha256 = sha256
    return located


def check_outside(model: ModelConfig, workdir: Path) -> None:
    """Raises a ConfigError if an own cell is in the workdir of a run, which others may send.

    Nothing is imported to find out.
    """
    if not is_own(model.cell):
        return
    module_name, _ = _split(model.cell)
    file = _file(module_name)
    places = [file] if file is not None else _package_places(module_name.partition(".")[0])
    if any(place.resolve().is_relative_to(workdir.resolve()) for place in places):
        raise ConfigError(
            f"config.model.cell={model.cell!r} is in {workdir}, and nothing is run from a workdir; "
            "move the file elsewhere"
        )


def current_sha256(model: ModelConfig) -> str:
    """Returns the sha256 of what the file of an own cell holds now; empty for a registered one."""
    if not is_own(model.cell):
        return ""
    module_name, _ = _split(model.cell)
    file = _file(module_name)
    if file is None:
        file = Path(_import(model.cell, module_name).__file__ or "")
    return hashlib.sha256(_read(model.cell, file)).hexdigest()


def changed(model: ModelConfig) -> str | None:
    """Returns a clause that says that the file of an own cell has changed; None if it has not."""
    current = current_sha256(model)
    if current == model.cell_sha256:
        return None
    return (
        f"{_split(model.cell)[0]} has changed since: its sha256 was {model.cell_sha256[:12]} and "
        f"is now {current[:12]}"
    )


def _split(name: str) -> tuple[str, str]:
    module_name, _, class_name = name.rpartition(":")
    if not (module_name and class_name):
        raise ConfigError(
            f"config.model.cell={name!r} is unknown; {did_you_mean(name, CELLS)}; {FORMS}"
        )
    return module_name, class_name


def _file(module_name: str) -> Path | None:
    """Returns the absolute path of a file; None for the name of an importable module."""
    is_file = module_name.endswith(".py") or "/" in module_name
    return Path(module_name).expanduser().absolute() if is_file else None


def _package_places(name: str) -> list[Path]:
    """Returns where an import would find a package or a module, which may be the current folder."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # the import itself says more
        return []
    if spec is None:
        return []
    return [
        Path(place) for place in (spec.origin, *(spec.submodule_search_locations or ())) if place
    ]


def _read(name: str, file: Path) -> bytes:
    if file.exists() and not file.is_file():  # a FIFO would not be read to its end
        raise ConfigError(f"config.model.cell={name!r}: {file} is no file")
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"config.model.cell={name!r}: {file}: {error.strerror}") from error


def _import(name: str, module_name: str) -> types.ModuleType:
    with _errors_of_code(name):
        return importlib.import_module(module_name)


def _run(name: str, file: Path) -> types.ModuleType:
    """Returns the module that a file makes; its folder is where it may import from."""
    content = _read(name, file)
    digest = hashlib.sha256(bytes(file) + b"\0" + content).hexdigest()
    module_name = f"{file.stem}@{digest[:12]}"  # no name that an import could have
    if module_name in sys.modules:
        return sys.modules[module_name]
    module = types.ModuleType(module_name)
    module.__file__ = str(file)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    sys.modules[module_name] = module  # where dataclasses and annotations look
    try:
        with _errors_of_code(name):
            exec(compile(content, str(file), "exec"), vars(module))
    except ConfigError:
        del sys.modules[module_name]
        raise
    return module


@contextlib.contextmanager
def _errors_of_code(name: str) -> Iterator[None]:
    """Turns whatever a file or a module, which is code, may raise into a ConfigError."""
    try:
        yield
    except SystemExit:
        raise ConfigError(f"config.model.cell={name!r} ends the program by sys.exit") from None
    except Exception as error:
        place = own_place(error)
        if isinstance(error, SyntaxError) and error.filename:
            place = f"{error.filename}:{error.lineno}"
        reason = str(error).splitlines()[0] if str(error) else ""
        where = f" ({place})" if place else ""
        raise ConfigError(
            f"config.model.cell={name!r}: {type(error).__name__}: {reason}{where}"
        ) from error


def _is_cell_of(value: Any, module: types.ModuleType) -> bool:
    is_cell = isinstance(value, type) and issubclass(value, nn.RNNCellBase)
    return is_cell and value.__module__ == module.__name__
