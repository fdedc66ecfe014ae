"""The faults of `python -m tests.faults`, fewer of each kind."""

from pathlib import Path

import pytest

from tests.faults.bench import Bench
from tests.faults.table import FAULTS, commit

pytestmark = pytest.mark.process


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Bench:
    return Bench(
        tmp_path_factory.mktemp("faults"),
        short=True,
        jobs=1,  # the suite runs two tests at a time already
        seed=commit(),
        moments=6,
        data_dir=Path(data_dir),
    )


@pytest.mark.parametrize("number", FAULTS)
def test_fault(number: int, bench: Bench, request: pytest.FixtureRequest) -> None:
    if number == 10:
        request.getfixturevalue("real")  # which prepares the data
    seen = FAULTS[number][1](bench)
    assert not seen.failures, str(seen)
    if not seen.times:
        pytest.skip(str(seen))
