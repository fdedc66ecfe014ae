"""Where an error comes from."""

import sys
import sysconfig
import types
from pathlib import Path

import pytest

import rnnjax
from rnnjax.errors import own_place

LIBRARIES = [str(Path(rnnjax.__file__).parent), sysconfig.get_path("stdlib")]


def error_in(file: str) -> ValueError:
    """Returns an error that is raised in the first line of a file."""
    with pytest.raises(ValueError, match="wrong") as error:
        exec(compile("raise ValueError('wrong')", file, "exec"))
    return error.value


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_folder_whose_name_begins_like_a_librarys_is_the_users(library: str) -> None:
    assert own_place(error_in(f"{library}_x/cell.py")) == f"{library}_x/cell.py:1"
    caller, _, _ = str(own_place(error_in(f"{library}/cell.py"))).rpartition(":")
    assert caller == __file__


def test_a_package_is_not_the_users_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = types.SimpleNamespace(__file__="/opt/packages/absl/__init__.py")
    monkeypatch.setitem(sys.modules, "absl", elsewhere)
    caller, _, _ = str(own_place(error_in("/opt/packages/absl/flags.py"))).rpartition(":")
    assert caller == __file__
