"""Strict settings for every test: several devices, no silent promotion, warnings are errors."""

import os

# Before JAX is imported, also in the processes that tests start.
os.environ.update(
    JAX_PLATFORMS="cpu",
    JAX_NUM_CPU_DEVICES="4",
    JAX_NUMPY_DTYPE_PROMOTION="strict",
    TF_CPP_MIN_LOG_LEVEL="2",
    TF_ENABLE_ONEDNN_OPTS="0",
    KERAS_BACKEND="jax",
)

import fcntl
from collections.abc import Iterator
from pathlib import Path

import jax
import jaxtyping
import pytest

# Before rnnjax is imported: beartype checks each call of a function against its annotations, also
# while JAX traces it. An int may stand for a float, as static checkers allow.
jaxtyping.install_import_hook(
    [
        f"rnnjax.{room}"
        for room in ("cells", "comparing", "data", "exporting", "interop", "recurrent", "training")
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from rnnjax.config import Config, DataConfig  # noqa: E402
from rnnjax.data import datasets, fashion_mnist  # noqa: E402
from rnnjax.runs.result import Result  # noqa: E402
from rnnjax.system.process import MIN_COMPILE_SECONDS  # noqa: E402


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of this run of the tests, for all its workers."""
    base = tmp_path_factory.getbasetemp()
    # Under xdist each worker has a folder of its own inside the run's.
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps what is compiled: the commands' out of the user's own cache, the tests' for later ones.

    Many tests train the same model. JAX warns of an entry that another worker is still writing: so
    each has a folder of its own.
    """
    os.environ["XDG_CACHE_HOME"] = str(shared_folder(tmp_path_factory) / "cache")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.getbasetemp() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A TFDS folder with the real Fashion-MNIST, prepared once for all workers."""
    if not fashion_mnist.DEBIAN_DIR.is_dir():
        pytest.fail("the tests need the real data: apt-get install dataset-fashion-mnist")
    return str(shared_folder(tmp_path_factory) / "tensorflow_datasets")


@pytest.fixture(scope="session")
def real(data_dir: str) -> datasets.Dataset:
    """The real Fashion-MNIST."""
    return datasets.load(DataConfig(data_dir=data_dir))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a short run on drawn garments, trained once for all workers; only to read."""
    from rnnjax.training.train import train

    workdir = shared_folder(tmp_path_factory) / "finished_run"
    with open(f"{workdir}.lock", "w") as lock:  # held while one of the workers trains
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workdir / "result.json").exists():
            train(_short(), workdir)
    return workdir


@pytest.fixture(scope="session")
def finished_result(finished_run: Path) -> Result:
    """What training has returned of that run."""
    from rnnjax.training.train import train

    return train(_short(), finished_run)


def _short() -> Config:
    config = Config(num_steps=12, log_every_steps=2, eval_every_steps=4)
    config.data = DataConfig("garments", validation_size=500)
    config.model.hidden_size = 8
    config.checkpoint.every_steps = 4
    return config


@pytest.fixture
def x64() -> Iterator[None]:
    """JAX with float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, so that the errors are those of a user without a checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
