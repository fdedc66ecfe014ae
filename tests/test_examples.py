"""The examples learn what they promise; run as they stand, in this process."""

import runpy
from pathlib import Path

import jax
import pytest

# What each returns has these bounds: below or above them it has not learnt.
LEARNT = {
    "sine": (0, 0.35),  # root of the mean squared error; always zero would have 0.71
    "characters": (0, 0.2),  # nats; all characters the same would be 3.8
    "lengths": (0.97, 1),  # accuracy
}


@pytest.mark.parametrize("name", LEARNT)
def test_it_learns(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with jax.numpy_dtype_promotion("standard"):  # as users have it; optax needs it
        figure = runpy.run_path(str(root / "examples" / f"{name}.py"))["main"]()
    least, most = LEARNT[name]
    assert least <= figure <= most
    assert len(capsys.readouterr().out.splitlines()) > 4  # its progress


def test_each_is_short(root: Path) -> None:
    for file in (root / "examples").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 60, file


def test_every_example_is_here(root: Path) -> None:
    assert {file.stem for file in (root / "examples").glob("*.py")} == set(LEARNT)
