"""Fault 10: original files and prepared records that are not what they were."""

import shutil
from collections.abc import Callable
from pathlib import Path

from rnnjax.data.fashion_mnist import DEBIAN_DIR, ORIGINAL_TIMES
from tests.faults.bench import Bench, Case, Seen
from tests.faults.damage import cut, delete, flip
from tests.faults.process import Process

REAL = ("--config.data.name=fashion_mnist", "--config.num_steps=2", "--config.eval_batch_size=1000")


def damaged(bench: Bench) -> Seen:
    def settings(data_dir: Path, idx_dir: Path) -> list[str]:
        return [*REAL, f"--config.data.data_dir={data_dir}", f"--config.data.idx_dir={idx_dir}"]

    def originals() -> Path:
        return Path(shutil.copytree(DEBIAN_DIR, bench.workdir()))

    def original(name: str, harm: Callable[[Path], None]) -> str:
        """Refused, naming the file; nothing is prepared of it, and the workdir is not made."""
        idx_dir, data_dir, workdir = originals(), bench.workdir(), bench.workdir()
        harm(idx_dir / name)
        run = Process(workdir, *settings(data_dir, idx_dir))
        run.must_end(2, str(idx_dir / name))
        assert run.lines == [], run.lines
        assert not workdir.exists(), "the workdir was made"
        assert not (data_dir / "fashion_mnist").exists(), "something was prepared"
        return "original: exit 2, named in one line, nothing prepared"

    def prepared(pattern: str, harm: Callable[[Path], None]) -> str:
        """Moved aside and prepared again; not without good originals, but then by the next run."""
        idx_dir, workdir = originals(), bench.workdir()
        data_dir = Path(shutil.copytree(bench.prepared(), bench.workdir()))
        (file,) = data_dir.glob(f"fashion_mnist/*/{pattern}")
        harm(file)
        flip(idx_dir / "t10k-labels-idx1-ubyte.gz")
        run = Process(workdir, *settings(data_dir, idx_dir))
        run.must_end(2, "t10k-labels-idx1-ubyte.gz", str(file.parent), ".damaged", lines=2)
        shutil.rmtree(idx_dir)
        shutil.copytree(DEBIAN_DIR, idx_dir)
        run = Process(workdir, *settings(data_dir, idx_dir))
        run.must_succeed()
        assert run.errors == [], run.errors
        assert file.is_file(), f"{file} was not written again"
        aside = file.parent.with_name(f"{file.parent.name}.damaged")
        assert aside.is_dir(), f"{aside} is not there"
        return "prepared: moved aside with a word, prepared again by the next run"

    def at_once(pattern: str, harm: Callable[[Path], None]) -> str:
        workdir = bench.workdir()
        data_dir = Path(shutil.copytree(bench.prepared(), bench.workdir()))
        (file,) = data_dir.glob(f"fashion_mnist/*/{pattern}")
        harm(file)
        run = Process(workdir, *settings(data_dir, DEBIAN_DIR))
        run.must_succeed()
        (line,) = run.errors or [""]
        assert str(file.parent) in line, line
        assert ".damaged" in line, line
        return "prepared: moved aside with a word, prepared again by the same run"

    harms = {"truncated": cut, "altered": flip, "missing": delete}
    cases: dict[str, Case] = {
        f"{name} {how}": lambda name=name, harm=harm: original(name, harm)
        for name in ORIGINAL_TIMES
        for how, harm in harms.items()
    }
    test, train = "fashion_mnist-test.tfrecord*", "fashion_mnist-train.tfrecord*"
    cases["test records flipped"] = lambda: at_once(test, flip)
    cases["train records cut"] = lambda: at_once(train, cut)
    cases["test records missing"] = lambda: at_once(test, delete)
    cases["dataset_info.json cut"] = lambda: at_once("dataset_info.json", cut)
    cases["train records flipped, no good originals"] = lambda: prepared(train, flip)
    short = ["train-images-idx3-ubyte.gz truncated", "t10k-labels-idx1-ubyte.gz missing"]
    return bench.each(bench.selected(cases, *short, "test records flipped"))
