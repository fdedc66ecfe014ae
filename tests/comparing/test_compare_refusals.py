"""The command `compare` refuses what cannot be: one line, exit code 2, nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments import smoke
from rnnjax.comparing import plan
from rnnjax.comparing.describe import describe
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.run import check, run
from rnnjax.errors import ConfigError, DataError
from tests import leaky_cell
from tests.comparing.commands import compare, files
from tests.faults.outcome import check_same_contents, contents
from tests.faults.untrusted import KINDS

CELLS = "model.cell=rnn"


def make(out: Path, *vary: str, **options: Any) -> plan.Comparison:
    """Returns a comparison on drawn garments."""
    config = smoke.get_config()
    config.model.hidden_size = 8
    for name in [name for name in options if hasattr(config, name)]:
        setattr(config, name, options.pop(name))
    for name in [name for name in options if hasattr(config.data, name)]:
        setattr(config.data, name, options.pop(name))
    return plan.make(out, config, vary, **{"num_seeds": 2, **options})


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary=model.cell="], ["model.cell="]),
        (["--vary=model.cell=lstm", "--vary=model.cell=gru"], ["model.cell", "twice"]),
        (["--vary=optimizer.learning_rate=fast"], ["fast"]),
        (["--vary=model.cell=lstm", "--seeds=0"], ["--seeds=0"]),
        (["--vary=model.cell=lstm", "--jobs=0"], ["--jobs=0"]),
        (["--vary=model.cell=lstm", "--search=0"], ["--search=0"]),
        (["--vary=model.cell=lstm", "--compute=fair"], ["--compute=fair"]),
        (["--vary=model.cell=lstm", "surplus"], ["surplus"]),
        (["--vary=model.cell=lstm", "--config.seeds=2"], ["config.seeds=2", "--seeds"]),
        (["--vary=model.cell=lstm", "--sort=loudness"], ["'loudness'", "ms per step"]),
    ],
)
def test_a_wrong_argument_is_one_line(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = compare(tmp_path / "out", *arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("vary", "options", "message"),
    [
        (["model.cell=lstm,lsmt"], {}, "did you mean 'lstm'"),
        ([], {}, "--vary is missing"),
        ([CELLS], {"num_trials": 3}, "--search=3, but no --vary is a range"),
        (["optimizer.learning_rate=log:1e-4..1e-2"], {}, "--search is missing"),
        (["model.hidden_size=8,16"], {"compute": "equal"}, "model.hidden_size, so that it cannot"),
        (["model.num_layers=1..3"], {"num_trials": 2, "compute": "equal"}, "but settings of the"),
        (["num_steps=best:100,125"], {"steps_per_dispatch": 50}, "config.num_steps=125 is not div"),
        ([CELLS], {"sampler": "tpe"}, "--sampler=tpe, but no --vary"),
        (
            ["model.cell=rnn,glstm+num_groups=4", "model.cell_options.num_groups=2,4"],
            {},
            "model.cell_options.num_groups is varied, and a cell brings its own",
        ),
        ([CELLS], {"num_microbatches": 3}, "times config.num_microbatches=3"),
        ([CELLS], {"seed": 2**31 - 1}, "config.seeds=2 from config.seed=2147483647 on: too large"),
        (["model.hidden_size=8,2147483647"], {}, "config.model.hidden_size=2147483647"),
        ([CELLS, "model.implementation=auto,cudnn"], {}, "'cudnn' cannot be had"),
        ([CELLS], {"seeds": 2}, "config.seeds=2: of a comparison, --seeds"),
        ([CELLS], {"validation_size": 20_000}, "leaves no training image of 20000"),
        (["model.cell=glstm+num_groups=3"], {}, "num_groups"),
        ([f"{CELLS},{leaky_cell.__file__}:Leaky"], {}, "did you mean 'LeakyCell'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(
    tmp_path: Path, vary: list[str], options: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises((ConfigError, DataError)) as raised:
        run(make(out, *vary, **options), "parameters")
    assert message in str(raised.value)
    assert not any(tmp_path.iterdir())


def test_data_that_is_missing_is_told_before_anything_is_written(tmp_path: Path) -> None:
    places = {"data_dir": str(tmp_path / "data"), "idx_dir": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match="nowhere"):
        run(make(tmp_path / "out", CELLS, name="fashion_mnist", **places), "parameters")
    assert not (tmp_path / "out").exists()


def test_more_processes_than_cores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--jobs=1000, but there are"):
        run(make(tmp_path / "out", CELLS, num_jobs=1_000), "parameters")
    assert not any(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    Ledger(make(out, CELLS)).save()
    for other, message in (
        (make(out, CELLS, batch_size=64), "config.batch_size was 128 and is now 64"),
        (make(out, "optimizer.learning_rate=1e-3"), "varies model.cell, not optimizer.learning"),
        (make(out, CELLS, compute="equal"), "--compute was as-set and is now equal"),
    ):
        with pytest.raises(ConfigError, match=message):
            Ledger(other)
    Ledger(make(out, f"{CELLS},gru", num_seeds=7))  # which is the same one, grown
    (out / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"plan\.json is damaged"):
        Ledger(make(out, CELLS))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"such as 'mine\.txt'"):
        Ledger(make(tmp_path / "notes", CELLS))
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "plan.json").symlink_to(out / "plan.json")
    with pytest.raises(ConfigError, match="is a link"):
        Ledger(make(tmp_path / "linked", CELLS))
    assert files(tmp_path / "notes") == {"mine.txt"}


def test_a_cell_that_has_changed_is_another_comparison(tmp_path: Path) -> None:
    file = Path(shutil.copy(leaky_cell.__file__, tmp_path / "leaky.py"))
    out = tmp_path / "out"
    out.mkdir()
    vary = f"{CELLS},{file}:LeakyCell"
    ledger = Ledger(make(out, vary))
    check(ledger)
    ledger.save()
    file.write_text(file.read_text().replace("0.5", "0.6"))
    with pytest.raises(ConfigError, match=r"leaky\.py:LeakyCell has changed since this comparison"):
        ledger.due()  # while it is under way
    with pytest.raises(ConfigError, match=r"leaky\.py:LeakyCell has changed since this comparison"):
        run(make(out, vary), "parameters")
    assert files(out) == {"plan.json"}


def test_what_only_a_gpu_runs_is_compared_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process has the CPU alone, so that the GPUs are left to the runs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    ledger = Ledger(make(tmp_path, "model.implementation=auto,cudnn"))
    check(ledger)
    assert [job.config.model.implementation for job in ledger.due()] == ["auto", "cudnn"]
    assert "implementation=cudnn: 1,274 parameters" in describe(ledger)


def test_a_cell_that_fails_its_check_is_not_trained(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    text = Path(leaky_cell.__file__).read_text()
    file.write_text(text.replace("jnp.tanh(products)", "jnp.tanh(products).mean(0)"))
    cells = f"rnn,{file}:LeakyCell"
    for vary in ([f"model.cell={cells}"], [f"model.cell=best:{cells}", "model.num_layers=1,2"]):
        with pytest.raises(ConfigError, match=r"wrong\.py:LeakyCell.*not so: examples"):
            run(make(tmp_path / "out", *vary), "parameters")
    assert files(tmp_path) == {"wrong.py"}


def test_nothing_is_run_from_the_folder_of_a_comparison(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    file = Path(shutil.copy(leaky_cell.__file__, out / "leaky.py"))
    with pytest.raises(ConfigError, match="nothing is run from a workdir"):
        make(out, f"model.cell={file}:LeakyCell")


def plant(out: Path, outside: Path, name: str, kind: str, *, is_folder: bool = False) -> None:
    """Puts something that leads outside where a comparison has a file or a folder."""
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        (out / name).mkdir()
    (outside / name).mkdir(parents=True)
    KINDS[kind](out / name, outside / name)


@pytest.mark.parametrize(
    ("name", "kind", "is_folder"),
    [
        ("plan.json", "a link", False),
        ("lock", "a link", False),
        ("runs", "a link", True),
        ("runs/rnn", "a link", True),
        ("runs/rnn/seed_0", "a link", True),
        ("runs/rnn/seed_0", "a FIFO", False),
        ("runs/rnn/seed_0.json", "a link", False),
    ],
)
def test_what_leads_outside_is_refused(
    tmp_path: Path, name: str, kind: str, is_folder: bool
) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    comparison = make(out, CELLS, num_seeds=1)
    out.mkdir()
    Ledger(comparison).save()
    plant(out, outside, name, kind, is_folder=is_folder)
    before = contents(outside)
    with pytest.raises(ConfigError, match=rf"out/{name} .*{kind}"):
        run(comparison, "parameters")
    check_same_contents(outside, before)


@pytest.mark.process
def test_what_is_written_anew_replaces_a_link(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    comparison = make(out, CELLS, num_seeds=1, num_steps=50)
    out.mkdir()
    Ledger(comparison).save()
    results = ["results.csv", "results.json", "table.md", "report.html", "curves.png"]
    beside = ["runs/rnn/seed_0.log", "drawing.log"]
    drafts = ["plan.tmp", "runs/rnn/seed_0.tmp", ".table.md.tmp", ".report.html.tmp"]
    for name in (*results, *beside, *drafts):
        plant(out, outside, name, "a link")
    plant(out, outside, "runs/means", "a link", is_folder=True)
    before = contents(outside)
    run(comparison, "parameters")
    check_same_contents(outside, before)
    assert {*results, *beside} < files(out)
    assert not any(path.is_symlink() for path in out.rglob("*"))
