"""A workdir that is held: nothing in it is what a run would not have put there."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rnnjax.errors import ConfigError
from rnnjax.runs import lock, workdir


@pytest.mark.parametrize("name", ["config.json", "result.json", "checkpoints", "train"])
def test_what_is_planted_before_the_lock_is_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    locked, outside = lock.locked, tmp_path / "outside"
    outside.mkdir()

    @contextlib.contextmanager
    def late(folder: Path) -> Iterator[Callable[[], None]]:
        """What is in the folder has been looked at, and now somebody is quicker."""
        (folder / name).symlink_to(outside)
        with locked(folder) as check_held:
            yield check_held

    monkeypatch.setattr(lock, "locked", late)
    with (
        pytest.raises(ConfigError, match=f"{name} is a link"),
        workdir.held(tmp_path / "run"),
    ):
        pytest.fail("it was held")
    assert list(outside.iterdir()) == []
